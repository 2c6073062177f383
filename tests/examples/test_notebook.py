"""The notebook is followed cell by cell, on a store made as the demo makes its own."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import examples
from mmfs.client import open_store
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.ingest import build_captions, build_frames, register_media
from mmfs.media.scenes import write_scenes
from mmfs.search import build_index
from mmfs.settings import DEMO_CLIP_DIR, DEMO_DEPTH_DIR, ClipConfig, DepthConfig, Settings
from tests.search.inert import inert

NOTEBOOK = json.loads((Path(examples.__file__).parent / "search_and_curate.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SHARD = "000000"
PICTURES, CLIPS = 36, 2

Shown = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebook is run: `data/store` holds rendered scenes, with the features of the demo models."""
    made = tmp_path_factory.mktemp("notebook")
    write_scenes(made / "media", split="test", images=PICTURES, videos=CLIPS)
    settings = Settings(
        store=str(made / "data" / "store"),
        clip=ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None),
        depth=DepthConfig(model=str(DEMO_DEPTH_DIR)),
        device="cpu",
        workers=1,
    )
    store = open_store(settings)
    store.ingest([made / "media"])
    register_media(store.core, SHARD, now_us=1)
    build_captions(store.core, SHARD)
    build_frames(store.core, SHARD)
    for table in ("clip_embeddings", "depth_maps", "frame_quality"):
        run_feature(store.core, instantiate(registered(store.settings)[table], store.settings), SHARD)
    build_index(store.core, "clip_embeddings", [SHARD])
    return made


@pytest.fixture(scope="module")
def shown(folder: Path) -> Shown:
    """What each cell shows, by its text."""
    names: dict[str, Any] = {"__name__": "__main__"}
    seen: Shown = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        for number, cell in enumerate(CELLS):
            seen[cell] = run_cell(cell, f"cell {number}", names)
    return seen


def run_cell(cell: str, name: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line where that is an expression, as notebooks show it."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names) if isinstance(last, ast.Expr) else None


def one(shown: Shown, part: str) -> Any:
    """What the cell shows that holds this text."""
    (found,) = (value for cell, value in shown.items() if part in cell)
    return found


def test_it_is_kept_without_outputs() -> None:
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


def test_every_cell_runs_and_galleries_are_drawn(shown: Shown) -> None:
    drawn = [cell for cell, value in shown.items() if hasattr(value, "_repr_html_")]
    asked = [cell for cell in CELLS if ".show(" in cell or "store.search(" in cell]
    assert drawn == asked
    assert len(drawn) >= 9
    for cell in drawn:
        seen = inert(shown[cell]._repr_html_())
        pictures = sum(tag == "img" for tag, _ in seen.tags)
        assert pictures or "SELECT" in cell, cell


def test_depth_stands_beside_frames_and_segments_have_time_ranges(shown: Shown) -> None:
    assert "(bright)" in one(shown, 'table("frames").show')._repr_html_()
    assert " to 0:0" in inert(one(shown, 'group="segment"')._repr_html_()).text


def test_duplicates_are_frames_that_are_not_kept(shown: Shown) -> None:
    assert "is_keptno" in inert(one(shown, "curate.duplicates")._repr_html_()).text


def test_what_is_pinned_is_what_was_chosen_without_leaks(shown: Shown, folder: Path) -> None:
    store = open_store(folder / "data" / "store")
    pinned, kept = store.pinned("curated"), set(store.subset("train").to_arrow()["key"].to_pylist())
    leaked = set(store.curate.leaks("train", "eval", threshold=0.95)["key"].to_pylist())
    assert not leaked
    assert pinned.samples == len(kept)
    assert 0 < len(kept) < 24
    batch = one(shown, "store.pin(")
    assert batch["frames.image"] == (4, 3, 224, 224)
    assert batch["depth_maps.depth"] == (4, 1, 224, 224)
