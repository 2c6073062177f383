"""Only what changed is computed: new rows, neighbours of new rows, and nothing for the same bytes under new names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.decoding.pool import DecodePool
from mmfs.features.feature import Feature, Scalar, Text, feature
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.ingest import build_captions, build_frames, register_media
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.conftest import add_media
from tests.features.tiny import SHARD, add_captions, media_id
from tests.ingest.making import clip, ingest, open_store, photo


@feature(table="brightness", grain="frame", inputs=["frames.image"])
class Brightness(Feature):
    """Mean of all pixels."""

    outputs = {"mean": Scalar("float32")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}


@feature(table="changes", grain="frame", inputs=["frames.image", "frames.image@previous", "frames.time_s@previous"])
class Changes(Feature):
    """How much darker or brighter a frame is than the one before."""

    outputs = {"change": Scalar("float32"), "before_s": Scalar("float64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        now, before = (batch[name].float().mean(dim=(1, 2, 3)) for name in ("frames.image", "frames.image@previous"))
        return {"change": now - before, "before_s": batch["frames.time_s@previous"]}


@feature(table="shouts", grain="caption", inputs=["captions.text", "raw_media.width"])
class Shouts(Feature):
    """Captions in capitals, with the width of their media."""

    outputs = {"text": Text(), "width": Scalar("int64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"text": [text.upper() for text in batch["captions.text"]], "width": batch["raw_media.width"]}


@feature(table="areas", grain="media", inputs=["raw_media.width", "raw_media.height"])
class Areas(Feature):
    """Pixels of a media."""

    outputs = {"pixels": Scalar("int64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        sides = zip(batch["raw_media.width"], batch["raw_media.height"], strict=True)
        return {"pixels": [width * height for width, height in sides]}


def test_ten_media_added_to_a_shard_of_a_thousand_cost_ten_rows(store: Store, frames: Callable[..., None]) -> None:
    frames(range(1000), sizes=((16, 16),))
    assert run_feature(store, Brightness(), SHARD).computed == 1000
    frames(range(1010), sizes=((16, 16),))
    report = run_feature(store, Brightness(), SHARD)
    assert (report.computed, report.carried, report.rows) == (10, 1000, 1010)


def test_features_of_every_grain_are_computed_from_their_rows_and_their_media(store: Store) -> None:
    add_media(store, SHARD, range(3))
    add_captions(store, [["a cat", "a grey cat"], [], ["snow"]])
    assert run_feature(store, Areas(), SHARD).rows == 3
    assert run_feature(store, Shouts(), SHARD).rows == 3
    rows = store.tables.read("shouts").to_pylist()
    assert [row["text"] for row in rows] == ["A CAT", "A GREY CAT", "SNOW"]
    media = {row["media_id"]: row for row in store.tables.read("raw_media").to_pylist()}
    assert [row["width"] for row in rows] == [media[row["media_id"]]["width"] for row in rows]
    areas = store.tables.read("areas").to_pylist()
    assert [row["pixels"] for row in areas] == [m["width"] * m["height"] for m in media.values()]


def test_the_frame_before_is_of_the_same_media_and_the_first_is_its_own(
    store: Store, frames: Callable[..., None]
) -> None:
    frames(range(12), per_media=4)
    run_feature(store, Brightness(), SHARD)
    run_feature(store, Changes(), SHARD)
    means = store.tables.read("brightness").column("mean").to_pylist()
    rows = store.tables.read("changes").to_pylist()
    for number, row in enumerate(rows):
        before = number if number % 4 == 0 else number - 1
        assert row["change"] == pytest.approx(means[number] - means[before], abs=1e-3)
        assert row["before_s"] == float(before % 4)


def test_a_frame_that_comes_between_makes_the_one_behind_it_stale_and_no_other(
    store: Store, frames: Callable[..., None]
) -> None:
    frames([n for n in range(12) if n != 6], per_media=4)
    run_feature(store, Changes(), SHARD)
    frames(range(12), per_media=4)
    status = shard_status(store, Changes(), SHARD)
    assert (status.missing, status.stale) == (1, 1)
    assert status.causes == {"new": 1, "upstream": 1}
    assert run_feature(store, Changes(), SHARD).computed == 2
    frames([n for n in range(12) if n != 6], per_media=4)
    assert shard_status(store, Changes(), SHARD).causes == {"upstream": 1}


def test_a_column_of_media_that_says_something_else_makes_its_rows_stale(store: Store) -> None:
    add_media(store, SHARD, range(3))
    assert run_feature(store, Areas(), SHARD).computed == 3
    add_media(store, SHARD, range(3), licence="CC0-1.0")
    assert run_feature(store, Areas(), SHARD).computed == 0
    rows = store.tables.read("raw_media", shard=SHARD).drop_columns(["shard"])
    wider = rows.set_column(rows.column_names.index("width"), "width", pa.array([7, 7, 7], pa.int64()))
    store.tables.update("raw_media", SHARD, lambda _: wider)
    assert shard_status(store, Areas(), SHARD).causes == {"upstream": 3}
    assert run_feature(store, Areas(), SHARD).computed == 3


def test_large_frames_are_decoded_by_the_processes_even_with_those_before_them(
    store: Store, frames: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(range(40), per_media=40)
    wanted = run_feature(store, Changes(), SHARD).digest
    frames([])
    run_feature(store, Changes(), SHARD)
    frames(range(40), per_media=40)
    pool = DecodePool(1, region_bytes=5 * 48 * 64 * 3)
    monkeypatch.setattr("mmfs.features.runner.decode_pool", lambda workers: nullcontext(pool))
    monkeypatch.setattr("mmfs.features.reading._decoded_here", lambda *_: pytest.fail("decoded by the runner"))
    assert run_feature(store, Changes(), SHARD).digest == wanted
    pool.close()


def _chain(store: Store, folder: Path, *features: Feature) -> list[int]:
    ingest(store, folder)
    [shard] = store.tables.shards("listings")
    register_media(store, shard, now_us=1)
    build_captions(store, shard)
    frames = build_frames(store, shard, now_us=1).computed
    return [frames, *(run_feature(store, one, shard).computed for one in features)]


def test_the_same_files_under_new_names_cost_nothing(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / "media" / f"{number}.jpg", number)
    clip(tmp_path / "media" / "v.mp4", 1)
    store = open_store(tmp_path / "store")
    assert _chain(store, tmp_path / "media", Brightness()) == [5, 5]
    shutil.copytree(tmp_path / "media", tmp_path / "media" / "again")
    for path in (tmp_path / "media").glob("*.*"):
        path.rename(path.with_stem("renamed-" + path.stem))
    assert _chain(store, tmp_path / "media", Brightness()) == [0, 0]
    assert store.tables.read("sources").num_rows > 4


def test_a_new_feature_over_existing_frames_opens_no_video_and_writes_no_other_table(
    tmp_path: Path, clip_config: ClipConfig
) -> None:
    photo(tmp_path / "media" / "p.jpg", 1)
    clip(tmp_path / "media" / "v.mp4", 1)
    store = open_store(tmp_path / "store", clip=clip_config, device="cpu")
    _chain(store, tmp_path / "media", Brightness())
    shutil.rmtree(tmp_path / "media")
    before = {name: store.tables.version(name) for name in store.tables.names()}
    [shard] = store.tables.shards("frames")
    assert run_feature(store, ClipEmbeddings(clip_config), shard).computed == 3
    after = {name: store.tables.version(name) for name in store.tables.names()}
    assert {name: version for name, version in after.items() if name in before} == before
    assert set(after) - set(before) == {"clip_embeddings"}
    assert store.tables.read("clip_embeddings").column("media_id")[0].as_py() != media_id(0)
