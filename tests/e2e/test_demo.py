"""The main job, from files to a training batch, as `mmfs demo` tells it."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from rich.console import Console

import mmfs.cli.output
from mmfs.client import open_store
from mmfs.errors import SettingsError
from mmfs.settings import ClipConfig, load_settings
from mmfs_assets.demo import run_demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests of this file work one after another, as a user would."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(autouse=True)
def _history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "home").mkdir(exist_ok=True)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "home"))


def _told(folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: object) -> str:
    """What the demo prints."""
    said = StringIO()
    console = Console(file=said, width=160)
    monkeypatch.setattr(mmfs.cli.output, "console", console)
    run_demo(console, store=str(folder / "store"), **arguments)  # type: ignore[arg-type]
    return said.getvalue()


def test_the_demo_runs_from_rendered_scenes_to_a_training_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _told(folder, monkeypatch, pictures=40, clips=2)
    for asset in (
        "raw_media",
        "captions",
        "frames",
        "clip_embeddings",
        "text_embeddings",
        "depth_maps",
        "frame_quality",
        "prompt_scores",
        "qdrant_index",
        "demo_training_run",
    ):
        assert re.search(rf"done +{asset} ", told), told
    store = open_store(folder / "store")
    infos = store.tables()
    assert infos["raw_media"].rows == 42
    for table in ("clip_embeddings", "text_embeddings", "depth_maps", "frame_quality", "prompt_scores"):
        assert infos[table].coverage == 1.0, table
    assert infos["quarantine"].rows == 0
    assert f"{infos['frames'].rows:,} samples, each exactly once" in told
    assert float(re.search(r"recall@1 +([\d.]+)", told)[1]) >= 0.84  # type: ignore[index]
    assert float(re.search(r"abs-rel +([\d.]+)", told)[1]) <= 0.12  # type: ignore[index]
    assert store.verify(deep=True).ok
    assert len(list((folder / "gallery").glob("*.html"))) == 3


def test_a_second_demo_computes_nothing_and_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _told(folder, monkeypatch, pictures=40, clips=2)
    assert "nothing rendered" in told
    assert "nothing to compute: every shard of every asset is fresh" in told


def test_own_pictures_join_the_store_and_are_labelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = folder / "own"
    own.mkdir()
    for name, level in (("dark", 20), ("light", 230)):
        picture = np.full((90, 120, 3), level, np.uint8)
        (own / f"{name}.jpg").write_bytes(simplejpeg.encode_jpeg(picture, colorspace="RGB"))
        (own / f"{name}.txt").write_text(f"a {name} wall in the evening")
    shutil.copy(own / "dark.jpg", own / "again.jpg")
    told = _told(folder, monkeypatch, media=[own])
    assert "3 new media" in told
    assert "demo model: not trained for photographs" in told
    assert "MMFS_CLIP__MODEL" in told
    store = open_store(folder / "store")
    assert store.sql("SELECT count(*) AS n FROM sources")["n"].to_pylist() == [45]
    assert store.tables()["raw_media"].rows == 44, "equal bytes are one media"
    hits = store.search("light wall", space="captions", k=1)
    assert hits.table["uri"][0].as_py().endswith("light.jpg")
    blank = store.sql("SELECT brightness, motion FROM frame_quality WHERE is_blank ORDER BY brightness")
    assert [round(level) for level in blank["brightness"].to_pylist()] == [20, 230]
    assert blank["motion"].to_pylist() == [0, 0]


def test_a_store_of_other_models_is_left_alone(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ClipConfig(model="ViT-L-14", pretrained="openai")
    open_store(load_settings(store=str(tmp_path / "real"), clip=other))
    with pytest.raises(SettingsError, match="made with ViT-L-14"):
        run_demo(Console(file=StringIO()), store=str(tmp_path / "real"), media=[folder / "own"])
