"""Running a feature over a shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mmfs.codecs import decode_depth16, decode_jpeg, encode_jpeg
from mmfs.errors import CodeChangedError, FeatureError
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.depth import DepthMaps
from mmfs.features.feature import Blob, Feature, Scalar, Text, Vector, feature
from mmfs.features.plan import plan
from mmfs.features.report import FeatureReport
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.features.tiny import SHARD, media_id, picture, write_clip

SIZES = ((48, 64), (64, 48), (40, 100), (33, 47), (64, 64))


@feature(table="probes", grain="frame", inputs=["frames.image", "frames.time_s"])
class Probe(Feature):
    """A feature that does what a test tells it to."""

    outputs = {"mean": Scalar("float32")}
    batch_size = 8
    broken: ClassVar[set[int]] = set()
    nan: ClassVar[set[int]] = set()
    seen: ClassVar[list[int]] = []

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        means = batch["mean"]
        self.seen.append(len(means))
        for number in self.broken:
            if bool(((means - expected_mean(number)).abs() < 1e-3).any()):
                raise RuntimeError("this picture cannot be computed")
        for number in self.nan:
            means = means.masked_fill((means - expected_mean(number)).abs() < 1e-3, float("nan"))
        return {"mean": means}


def expected_mean(number: int) -> float:
    return float(decode_jpeg(encode_jpeg(picture(number))).astype(np.float32).mean())


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> type[Probe]:
    for name, value in (("broken", set()), ("nan", set()), ("seen", [])):
        monkeypatch.setattr(Probe, name, value)
    return Probe


def quarantined(store: Store) -> dict[str, dict[str, Any]]:
    return {row["uri"]: row for row in store.tables.read("quarantine").to_pylist()}


def test_nothing_is_computed_by_code_that_was_edited_meanwhile(
    store: Store, frames: Callable[..., None], probe: type[Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(range(2), sizes=SIZES)
    monkeypatch.setattr("mmfs.features.runner.changed_files", lambda _: ["lab/probe.py"])
    with pytest.raises(CodeChangedError, match=r"lab/probe\.py changed since this process imported it"):
        run_feature(store, probe(), SHARD)
    assert probe.seen == []


def test_vectors_of_all_frames_are_stored_unit_length(store: Store, frames: Callable[..., None]) -> None:
    frames(range(11), sizes=SIZES)
    report = run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    assert (report.rows, report.computed, report.quarantined, report.changed) == (11, 11, 0, True)
    assert report.batches == 3  # five shapes, yet batches of four
    rows = store.tables.read("clip_embeddings")
    vectors = np.stack(rows.column("vector").to_numpy(zero_copy_only=False)).astype(np.float32)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 2e-3
    assert rows.column("media_id").to_pylist() == [media_id(n) for n in range(11)]


def test_depth_maps_have_the_size_of_their_frames(store: Store, frames: Callable[..., None]) -> None:
    frames(range(11), sizes=SIZES)
    report = run_feature(store, DepthMaps(store.settings.depth), SHARD)
    assert report.computed == 11
    rows = store.tables.read("depth_maps")
    for row, data in zip(rows.to_pylist(), store.blobs("depth_maps", rows), strict=True):
        depth = decode_depth16(data)
        assert depth.shape == SIZES[int(row["media_id"], 16) % len(SIZES)]
        assert depth.shape == (row["depth_height"], row["depth_width"])
        assert depth.min() == pytest.approx(row["depth_min"], rel=1e-3)
        assert depth.max() == pytest.approx(row["depth_max"], rel=1e-3)
        assert row["scale"] == 1.0


def test_running_again_computes_nothing_loads_nothing_and_commits_nothing(
    store: Store, frames: Callable[..., None]
) -> None:
    frames(range(5))
    first = run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    clip = ClipEmbeddings(store.settings.clip)
    again = run_feature(store, clip, SHARD)
    assert (again.computed, again.carried, again.changed) == (0, 5, False)
    assert (again.digest, again.version) == (first.digest, first.version)
    assert clip.device is None


def test_added_rows_are_the_only_ones_computed(store: Store, frames: Callable[..., None], probe: type[Probe]) -> None:
    frames(range(10))
    run_feature(store, probe(), SHARD)
    probe.seen.clear()
    frames(range(13))
    report = run_feature(store, probe(), SHARD)
    assert (report.computed, report.carried, report.rows) == (3, 10, 13)
    assert sum(probe.seen) == 3


def test_rows_whose_frame_is_gone_are_dropped(store: Store, frames: Callable[..., None], probe: type[Probe]) -> None:
    frames(range(10))
    run_feature(store, probe(), SHARD)
    frames(range(4, 10))
    report = run_feature(store, probe(), SHARD)
    assert (report.computed, report.carried, report.rows) == (0, 6, 6)


def test_the_result_is_the_same_in_one_run_or_in_several(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    frames(range(12))
    whole = run_feature(store, probe(), SHARD).digest
    frames([])
    run_feature(store, probe(), SHARD)
    for count in (3, 4, 12):
        frames(range(count))
        parts = run_feature(store, probe(), SHARD)
    assert parts.digest == whole


def test_other_weights_make_rows_stale_even_of_another_width(
    store: Store, frames: Callable[..., None], tmp_path: Path
) -> None:
    frames(range(6))
    run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    wide = write_clip(tmp_path / "wide", dim=24)
    clip = ClipEmbeddings(ClipConfig(model=f"local-dir:{wide}", batch_size=4))
    assert shard_status(store, clip, SHARD).stale == 6
    report = run_feature(store, clip, SHARD)
    assert (report.computed, report.carried) == (6, 0)
    assert store.tables.read("clip_embeddings").schema.field("vector").type.list_size == 24
    assert plan(store, clip).fresh == 6


def test_a_loaded_model_is_loaded_again_when_its_file_changes(
    store: Store, frames: Callable[..., None], tmp_path: Path
) -> None:
    frames(range(3))
    config = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'model')}")
    clip = ClipEmbeddings(config)
    run_feature(store, clip, SHARD)
    write_clip(tmp_path / "model", seed=3)
    again = run_feature(store, clip, SHARD)
    assert again.computed == 3
    assert run_feature(store, ClipEmbeddings(config), SHARD).digest == again.digest
    vectors = np.stack(store.tables.read("clip_embeddings").column("vector").to_numpy(zero_copy_only=False))
    fresh = ClipEmbeddings(config)
    fresh.load("cpu")
    images = [decode_jpeg(data) for data in store.blobs("frames", store.tables.read("frames"))]
    assert np.abs(vectors - fresh.encode_images(images)).max() < 1e-3


def test_two_runs_of_one_shard_at_once_end_with_one_result(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    frames(range(10))
    others: list[FeatureReport] = []

    def meanwhile(done: int, total: int) -> None:
        if not others:
            others.append(run_feature(store, probe(), SHARD))

    slower = run_feature(store, probe(), SHARD, progress=meanwhile)
    assert others[0].changed
    assert not slower.changed
    assert slower.digest == others[0].digest


def test_one_poison_row_is_found_and_quarantined_and_the_rest_computed(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    frames(range(16))
    probe.broken = {5}
    report = run_feature(store, probe(), SHARD)
    assert (report.computed, report.quarantined, report.rows) == (15, 1, 15)
    (row,) = quarantined(store).values()
    assert row["uri"] == f"{media_id(5)}:0"
    assert (row["stage"], row["reason"], row["attempts"]) == ("probes", "model_failed", 1)
    assert "this picture cannot be computed" in row["message"]


def test_a_poison_row_is_not_tried_again_until_its_fingerprint_changes(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    frames(range(16))
    probe.nan = {5, 9}
    assert run_feature(store, probe(), SHARD).quarantined == 2
    assert {row["reason"] for row in quarantined(store).values()} == {"not_finite"}
    probe.seen.clear()
    again = run_feature(store, probe(), SHARD)
    assert (again.computed, again.quarantined, again.changed, probe.seen) == (0, 0, False, [])
    assert shard_status(store, probe(), SHARD).failed == 2
    frames(range(16), fingerprint="frames-2")
    probe.nan = {9}
    mended = run_feature(store, probe(), SHARD)
    assert (mended.computed, mended.quarantined) == (15, 1)
    assert {uri: row["attempts"] for uri, row in quarantined(store).items()} == {f"{media_id(9)}:0": 2}


def test_a_row_that_cannot_be_prepared_is_quarantined(
    store: Store, frames: Callable[..., None], probe: type[Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(self: Probe, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["frames.image"].shape[-1] == 100:
            raise ValueError("too wide")
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}

    monkeypatch.setattr(probe, "prepare", prepare)
    frames(range(10), sizes=SIZES)
    report = run_feature(store, probe(), SHARD)
    assert (report.computed, report.quarantined) == (8, 2)
    assert {row["message"] for row in quarantined(store).values()} == {"ValueError: too wide"}


def test_when_every_row_fails_the_model_is_blamed_and_nothing_is_written(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    frames(range(8))
    probe.nan = set(range(8))
    with pytest.raises(FeatureError, match=r"none of the 8 rows.*not finite.*feature probes.*broken model"):
        run_feature(store, probe(), SHARD)
    assert quarantined(store) == {}
    assert store.tables.shards("probes") == {}


@pytest.mark.parametrize(
    ("outputs", "result", "message"),
    [
        ({"vector": Vector(3)}, lambda n: {"vector": np.zeros((n, 4))}, r"shape \[5, 4\].*probes, column vector"),
        ({"x": Scalar()}, lambda n: {"x": np.zeros(n - 1)}, "4 rows came out where 5 went in.*column x"),
        ({"x": Scalar()}, lambda n: {"x": np.zeros((n, 1))}, r"shape \[5, 1\].*needs \[B\]"),
        ({"x": Scalar()}, lambda n: {"y": np.zeros(n)}, "compute returned y.*declared outputs: x"),
        ({"x": Scalar()}, lambda n: None, "compute returned NoneType"),
        ({"x": Text()}, lambda n: {"x": [1] * n}, "not all values are strings"),
        ({"x": Blob("depth16")}, lambda n: {"x": np.zeros((n, 4))}, "depth16 needs 2 axes"),
    ],
)
def test_outputs_other_than_declared_are_an_error_naming_feature_and_column(
    store: Store,
    frames: Callable[..., None],
    probe: type[Probe],
    monkeypatch: pytest.MonkeyPatch,
    outputs: dict[str, Any],
    result: Callable[[int], Any],
    message: str,
) -> None:
    monkeypatch.setattr(probe, "outputs", outputs)
    monkeypatch.setattr(probe, "compute", lambda self, batch: result(len(batch["mean"])))
    frames(range(5))
    with pytest.raises(FeatureError, match=message):
        run_feature(store, probe(), SHARD)


@feature(table="heads", grain="frame", inputs=["probes.mean", "clip_embeddings.vector", "raw_media.width"])
class Head(Feature):
    """A head over other features and a column of the media."""

    outputs = {"sum": Scalar("float64"), "said": Text()}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        vectors = batch["clip_embeddings.vector"]
        assert tuple(vectors.shape[1:]) == (16,)
        sums = vectors.sum(1).double().numpy() + np.array(batch["probes.mean"])
        return {"sum": sums, "said": [f"{width} wide" for width in batch["raw_media.width"]]}


def test_features_read_other_features_and_columns_of_their_media(
    store: Store, frames: Callable[..., None], probe: type[Probe]
) -> None:
    from tests.conftest import add_media

    frames(range(6))
    add_media(store, SHARD, list(range(8)))
    probe.nan = {2}
    assert plan(store, Head()).shards == ()
    run_feature(store, probe(), SHARD)
    run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    report = run_feature(store, Head(), SHARD)
    assert report.computed == 5  # the row that the probe could not compute is no input row
    said = store.tables.read("heads").column("said").to_pylist()
    assert said == [f"{n + 1} wide" for n in (0, 1, 3, 4, 5)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.vector", "names no table"),
        ("frames.colour", "names no column"),
        ("frames.pack", "names no column"),
        ("captions.text", "has grain caption"),
    ],
)
def test_inputs_that_do_not_exist_are_named(store: Store, frames: Callable[..., None], name: str, message: str) -> None:
    frames(range(2))

    @feature(table="wrong", grain="frame", inputs=[name])
    class Wrong(Head):
        """Reads what is not there."""

    with pytest.raises(FeatureError, match=message):
        shard_status(store, Wrong(), SHARD)


def test_progress_is_told_after_every_batch(store: Store, frames: Callable[..., None], probe: type[Probe]) -> None:
    frames(range(20))
    told: list[tuple[int, int]] = []
    run_feature(store, probe(), SHARD, progress=lambda done, total: told.append((done, total)))
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_the_report_says_where_the_time_went(store: Store, frames: Callable[..., None]) -> None:
    frames(range(9))
    report = run_feature(store, ClipEmbeddings(store.settings.clip), SHARD, device="cpu")
    assert report.device == "cpu"
    assert report.rows_per_s > 0
    assert report.load_s > 0
    assert report.bottleneck in {"read", "prepare", "model", "write"}
    stages_s = report.read_s + report.prepare_s + report.model_s + report.write_s
    assert report.load_s + stages_s <= report.seconds
    assert report.device_busy_share == pytest.approx(report.device_s / (report.seconds - report.load_s))
    assert sum(report.stage_ms.values()) == pytest.approx(1000 * stages_s / 9)
    assert report.bytes_written > 0
