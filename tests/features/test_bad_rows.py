"""Bad rows, bad bytes, dying processes, broken features: each has its outcome, and one bad row never stops a shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from mmfs.codecs import encode_jpeg
from mmfs.errors import FeatureError, IntegrityError, StoreError
from mmfs.features.feature import Blob, Feature, Scalar, Vector, feature
from mmfs.features.runner import run_feature
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.features.tiny import SHARD, media_id, picture


@feature(table="means", grain="frame", inputs=["frames.image"])
class Means(Feature):
    """Mean of all pixels."""

    outputs = {"mean": Scalar("float32")}
    batch_size = 8
    most_rows: ClassVar[int] = 1000
    seen: ClassVar[list[int]] = []

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(len(batch["mean"]))
        if len(batch["mean"]) > self.most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return {"mean": batch["mean"]}


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> type[Means]:
    monkeypatch.setattr(Means, "most_rows", 1000)
    monkeypatch.setattr(Means, "seen", [])
    return Means


def _quarantined(store: Store) -> dict[str, dict[str, Any]]:
    return {row["uri"]: row for row in store.tables.read("quarantine").to_pylist()}


def test_a_device_out_of_memory_halves_the_batches_from_there_on_and_loses_no_row(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(30))
    means.most_rows = 3
    report = run_feature(store, means(), SHARD)
    assert (report.rows, report.computed, report.quarantined) == (30, 30, 0)
    assert report.batch_size <= 4
    assert max(means.seen[-5:]) <= 4


def test_a_row_too_large_for_the_device_alone_is_quarantined_as_such(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(3))
    means.most_rows = 0
    report = run_feature(store, means(), SHARD)
    assert (report.computed, report.quarantined) == (0, 3)
    assert {row["reason"] for row in _quarantined(store).values()} == {"out_of_memory"}


def test_a_picture_that_does_not_decode_costs_one_row(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(10), bytes_of=lambda n: b"no picture" if n == 6 else encode_jpeg(picture(n)))
    report = run_feature(store, means(), SHARD)
    assert (report.computed, report.quarantined) == (9, 1)
    [(key, row)] = _quarantined(store).items()
    assert (key, row["reason"]) == (f"{media_id(6)}:0", "corrupt")
    assert "not a JPEG" in row["message"]


def test_a_flipped_bit_in_a_pack_is_no_bad_row_but_a_damaged_store(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(4))
    row = store.tables.read("frames").to_pylist()[2]
    pack = store.objects.local_path(row["pack"])
    assert pack is not None
    data = bytearray(pack.read_bytes())
    data[row["offset"] + 100] ^= 1
    pack.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"at offset {row['offset']} of {row['pack']}"):
        run_feature(store, means(), SHARD)
    assert _quarantined(store) == {}


def test_a_row_that_kills_the_decoding_process_is_named_and_the_rest_is_computed(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(range(10))
    offset = store.tables.read("frames").column("offset")[7].as_py()
    monkeypatch.setenv("_MMFS_FAULT", f"features.decode@{offset}:segv")
    report = run_feature(store, means(), SHARD)
    assert (report.computed, report.quarantined) == (9, 1)
    [(key, row)] = _quarantined(store).items()
    assert (key, row["reason"]) == (f"{media_id(7)}:0", "crashed")
    assert "SIGSEGV" in row["message"]


def test_rows_of_a_shape_that_cannot_be_prepared_cost_themselves_alone(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(self: Means, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["frames.image"].shape[-1] == 8:
            raise ValueError("too small")
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}

    monkeypatch.setattr(means, "prepare", prepare)
    frames(range(20), sizes=((8, 8), (48, 64)))
    report = run_feature(store, means(), SHARD)
    assert (report.computed, report.quarantined) == (10, 10)


def test_a_library_that_is_missing_is_no_fault_of_the_rows(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(self: Means, batch: dict[str, Any]) -> dict[str, Any]:
        raise ImportError("No module named 'flash_attn'")

    frames(range(3))
    monkeypatch.setattr(means, "compute", compute)
    with pytest.raises(ImportError, match="flash_attn"):
        run_feature(store, means(), SHARD)
    assert _quarantined(store) == {}


def test_a_vacuum_that_took_a_pack_before_the_commit_is_noticed(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(means, "outputs", {"map": Blob("array16")})
    monkeypatch.setattr(means, "compute", lambda self, batch: {"map": batch["mean"][:, None]})
    frames(range(4))

    def vacuum() -> None:
        for found in list(store.objects.list("packs/means")):
            store.objects.delete(found.path)

    with pytest.raises(StoreError, match=r"is gone.*run again"), arm("packs.after_publish", vacuum):
        run_feature(store, means(), SHARD)
    assert store.tables.shards("means") == {}
    assert run_feature(store, means(), SHARD).rows == 4


def test_pictures_larger_than_a_region_of_the_ring_are_computed_too(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmfs.features.decoding import pool

    sizes = ((48, 64), (600, 800), (48, 64))
    frames(range(9), sizes=sizes)
    expected = run_feature(store, means(), SHARD).digest
    frames([])
    run_feature(store, means(), SHARD)
    frames(range(9), sizes=sizes)
    small = pool.DecodePool(1, region_bytes=20_000)
    monkeypatch.setattr("mmfs.features.runner.decode_pool", lambda workers: _kept(small))
    assert run_feature(store, means(), SHARD).digest == expected
    small.close()


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("compute", lambda n: {"vector": torch.zeros(n, 5)}, r"shape \[4, 5\].*needs \[B, 3\]"),
        ("compute", lambda n: {"vector": torch.zeros(n - 1, 3)}, "3 rows came out where 4 went in"),
        ("prepare", lambda n: {"x": torch.zeros(n - 1, 3)}, "prepare returned 3 rows where 4 went in"),
        ("prepare", lambda n: torch.zeros(n, 3), "prepare returned Tensor"),
    ],
)
def test_a_feature_that_does_not_keep_its_word_is_named_with_the_rows(
    store: Store, frames: Callable[..., None], method: str, result: Callable[[int], Any], message: str
) -> None:
    @feature(table="liars", grain="frame", inputs=["frames.image"])
    class Liar(Feature):
        """Returns what a test tells it to."""

        outputs = {"vector": Vector(3)}

        def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
            return result(len(batch["frames.image"])) if method == "prepare" else batch

        def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
            return result(len(batch["frames.image"]))

    frames(range(4))
    rows = rf"4 rows, {media_id(0)}:0 to {media_id(3)}:0"
    with pytest.raises(FeatureError, match=message) as raised:
        run_feature(store, Liar(), SHARD)
    assert "feature liars" in str(raised.value)
    assert rows in str(raised.value)
    assert store.tables.shards("liars") == {}


def test_processes_that_cannot_start_are_an_error_with_a_mend(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frames(range(4))
    (tmp_path / "simplejpeg.py").write_text("raise ImportError('no such library')")
    (tmp_path / "numpy.py").write_text("raise ImportError('no such library')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("_MMFS_TEST_NEW_POOL", "1")
    with pytest.raises(FeatureError, match=r"no such library.*starting a decoding process.*pip install"):
        run_feature(store, means(), SHARD)


def _kept(pool: Any) -> Any:
    from contextlib import nullcontext

    return nullcontext(pool)
