"""Every example of a feature works as it stands: a table, an asset, a column of batches and of SQL, a search space."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import examples
from mmfs.client import FeatureStore
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.registry import instantiate, registered
from mmfs.features.report import FeatureReport
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.search import build_index
from mmfs.settings import ClipConfig, Settings
from mmfs.store import Store
from mmfs_assets.definitions import definitions_for
from tests.conftest import add_media
from tests.features.tiny import DIM, SHARD, add_frames, write_clip

FEATURES = sorted(path for path in Path(examples.__file__).parent.glob("*.py") if "@mmfs.feature" in path.read_text())
SIZES = ((48, 64), (64, 48), (50, 50))

Run = Callable[[str, str], tuple[FeatureStore, FeatureReport]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("aspect_ratio", "aspect_ratios")`: a small store in which an example's table was computed."""
    clip = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'clip')}", batch_size=4)

    def make(example: str, table: str) -> tuple[FeatureStore, FeatureReport]:
        modules = (f"examples.{example}",)
        settings = Settings(store=str(tmp_path / "store"), clip=clip, device="cpu", features=modules, workers=1)
        store = Store.open(settings=settings)
        add_media(store, SHARD, range(6))
        add_frames(store, range(6), sizes=SIZES)
        run_feature(store, ClipEmbeddings(clip), SHARD)
        feature = instantiate(registered(settings)[table], settings)
        return FeatureStore(store), run_feature(store, feature, SHARD)

    return make


def column_of_batches(features: FeatureStore, column: str) -> dict[str, object]:
    """Values that a loader gives, by key."""
    loader = features.loader(columns=[column], batch_size=4, shuffle=False)
    return {
        key: value
        for batch in loader
        for key, value, valid in zip(batch["_key"], batch[column], batch["_valid"], strict=True)
        if valid
    }


def asset(features: FeatureStore, name: str) -> tuple[set[str], str | None, set[str]]:
    """What an asset stands on, its group and its pools."""
    node = definitions_for(features.settings).resolve_asset_graph().get(dg.AssetKey(name))
    return {key.to_user_string() for key in node.parent_keys}, node.group_name, node.pools


@pytest.mark.parametrize("path", FEATURES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_it_is_used(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 40
    assert f"MMFS_FEATURES=examples.{path.stem}\n" in (ast.get_docstring(ast.parse(text)) or "").replace("  #", "\n")


def test_a_second_clip_model_has_a_table_and_a_space_beside_the_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.second_clip import ClipLarge

    assert ClipLarge.config.model == "ViT-L-14"
    large = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'large', seed=1, dim=24)}", batch_size=4)
    monkeypatch.setattr(ClipLarge, "config", large)
    features, report = run("second_clip", "clip_large")
    assert report.computed == 6
    for space in ("clip_embeddings", "clip_large"):
        build_index(features.core, space, [SHARD])
    both = [features.search("a red ball", space=space, k=6) for space in ("clip_embeddings", "clip_large")]
    assert [len(hits) for hits in both] == [6, 6]
    assert both[0].table["score"].to_pylist() != both[1].table["score"].to_pylist()
    assert asset(features, "clip_large") == ({"frames"}, "features", {"gpu"})
    assert "clip_large" in asset(features, "qdrant_index")[0]
    assert {tuple(one.shape) for one in column_of_batches(features, "clip_large.vector").values()} == {(24,)}  # type: ignore[attr-defined]
    first = instantiate(registered(features.settings)["clip_embeddings"], features.settings)
    assert shard_status(features.core, first, SHARD).fresh == 6


def test_a_head_scores_frames_by_their_embeddings(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import examples.aesthetic_head as example

    monkeypatch.setattr(example, "FILE", tmp_path / "head.safetensors")
    weight, bias = torch.randn(1, DIM, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1])
    save_file({"weight": weight, "bias": bias}, example.FILE)
    features, report = run("aesthetic_head", "aesthetics")
    assert report.computed == 6
    vectors = np.array(features.core.tables.read("clip_embeddings")["vector"].to_pylist(), np.float32)
    expected = 1 / (1 + np.exp(-(vectors @ weight.numpy()[0] + 0.1)))
    rows = features.sql("SELECT score FROM aesthetics ORDER BY media_id")["score"].to_pylist()
    assert rows == pytest.approx(expected.tolist(), abs=1e-5)
    assert sorted(map(float, column_of_batches(features, "aesthetics.score").values())) == pytest.approx(sorted(rows))  # type: ignore[arg-type]
    above = f"score > {np.median(rows)}"
    assert features.core.select("frame", where=above).num_rows == 3
    assert asset(features, "aesthetics")[:2] == ({"clip_embeddings"}, "features")
    save_file({"weight": 2 * weight, "bias": bias}, example.FILE)
    head = instantiate(registered(features.settings)["aesthetics"], features.settings)
    assert shard_status(features.core, head, SHARD).causes == {"weights": 6}


def test_aspect_ratios_come_from_columns_alone(run: Run) -> None:
    features, report = run("aspect_ratio", "aspect_ratios")
    assert report.computed == 6
    counts = "SELECT orientation, count(*) AS n FROM aspect_ratios GROUP BY orientation ORDER BY orientation"
    assert features.sql(counts).to_pylist() == [
        {"orientation": "landscape", "n": 2},
        {"orientation": "portrait", "n": 2},
        {"orientation": "square", "n": 2},
    ]
    assert sorted(column_of_batches(features, "aspect_ratios.orientation").values())[0] == "landscape"  # type: ignore[type-var]
    build_index(features.core, "clip_embeddings", [SHARD])
    wide = features.search("a red ball", where="ratio > 1.3 AND orientation = 'landscape'")
    assert len(wide) == 2
    assert asset(features, "aspect_ratios") == ({"frames"}, "features", set())
