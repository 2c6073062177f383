"""Rows that failed and are tried again on request: they stay in quarantine until a run has tried them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from mmfs.features.checks import unmatched_keys
from mmfs.features.feature import Feature, Scalar, feature
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.ingest.quarantine import unmark, unmarked
from mmfs.store import Store
from tests.features.tiny import SHARD, media_id


@feature(table="means", grain="frame", inputs=["frames.image"])
class Means(Feature):
    """Mean of all pixels, on a device with room for so many pictures at once."""

    outputs = {"mean": Scalar("float32")}
    room: ClassVar[int] = 8
    tried: ClassVar[list[int]] = []
    meanwhile: ClassVar[Callable[[], object]] = staticmethod(lambda: None)

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.tried.append(len(batch["frames.image"]))
        type(self).meanwhile()
        if len(batch["frames.image"]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> type[Means]:
    for name, value in (("room", 8), ("tried", []), ("meanwhile", staticmethod(lambda: None))):
        monkeypatch.setattr(Means, name, value)
    return Means


def _quarantined(store: Store) -> dict[str, dict[str, Any]]:
    return {row["uri"]: row for row in store.tables.read("quarantine").to_pylist()}


def _all(row: object) -> bool:
    return True


def test_rows_that_ran_out_of_memory_are_missing_when_asked_for_and_computed_where_there_is_more(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(3))
    means.room = 0
    run_feature(store, means(), SHARD)
    means.room, means.tried = 8, []
    run_feature(store, means(), SHARD)
    assert means.tried == [], "more memory alone is no reason to try again"

    assert {row["reason"] for row in unmark(store, SHARD, _all)} == {"out_of_memory"}
    status = shard_status(store, means(), SHARD)
    assert (status.missing, status.failed, status.causes) == (3, 0, {"new": 3})
    assert unmatched_keys(store, means(), SHARD) == [], "what is to be tried again is not lost"
    assert unmarked(store) == {("means", SHARD)}

    report = run_feature(store, means(), SHARD)
    assert (report.rows, report.computed, report.quarantined) == (3, 3, 0)
    assert (_quarantined(store), unmarked(store)) == ({}, set())


def test_rows_that_fail_again_are_back_with_their_mark_and_one_more_attempt(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(2))
    means.room = 0
    run_feature(store, means(), SHARD)
    before = _quarantined(store)
    unmark(store, SHARD, lambda row: row["uri"] == f"{media_id(1)}:0")
    run_feature(store, means(), SHARD)
    after = _quarantined(store)
    assert {uri: row["mark"] for uri, row in after.items()} == {uri: row["mark"] for uri, row in before.items()}
    assert [row["attempts"] for _, row in sorted(after.items())] == [1, 2]
    assert shard_status(store, means(), SHARD).failed == 2


def test_what_is_asked_for_while_a_run_is_at_work_is_left_to_the_next_one(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(2))
    means.room = 0
    run_feature(store, means(), SHARD)
    means.room = 8
    frames(range(3))
    means.meanwhile = staticmethod(lambda: unmark(store, SHARD, _all))  # type: ignore[assignment]
    assert run_feature(store, means(), SHARD).computed == 1
    assert unmarked(store) == {("means", SHARD)}
    assert run_feature(store, means(), SHARD).computed == 2
    assert _quarantined(store) == {}


def test_a_row_that_another_run_computed_meanwhile_is_asked_for_no_more(
    store: Store, frames: Callable[..., None], means: type[Means]
) -> None:
    frames(range(2))
    means.room = 0
    run_feature(store, means(), SHARD)
    failed = store.tables.read("quarantine", shard=SHARD).drop_columns("shard")
    unmark(store, SHARD, _all)
    means.room = 8
    run_feature(store, means(), SHARD)
    store.tables.update("quarantine", SHARD, lambda _: failed)
    unmark(store, SHARD, _all)
    assert run_feature(store, means(), SHARD).computed == 0
    assert unmarked(store) == set(), "else it would be run for ever"


def test_a_row_whose_decoding_process_died_is_computed_when_tried_again(
    store: Store, frames: Callable[..., None], means: type[Means], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(range(4))
    offset = store.tables.read("frames").column("offset")[2].as_py()
    with monkeypatch.context() as patched:
        patched.setenv("_MMFS_FAULT", f"features.decode@{offset}:segv")
        assert run_feature(store, means(), SHARD).quarantined == 1
    assert run_feature(store, means(), SHARD).computed == 0
    [row] = unmark(store, SHARD, lambda row: row["reason"] == "crashed")
    assert row["uri"] == f"{media_id(2)}:0"
    assert run_feature(store, means(), SHARD).computed == 1
    assert _quarantined(store) == {}
