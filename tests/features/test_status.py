"""Counting what is fresh, stale and missing in a shard, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.runner import run_feature
from mmfs.features.status import compare, shard_status
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.features.chain import Factor, First, RewrittenFirst, Second, Third, put_frames, time_of
from tests.features.tiny import SHARD, write_clip


def test_before_the_first_run_all_rows_are_missing(store: Store, frames: Callable[..., None]) -> None:
    frames(range(5))
    status = shard_status(store, ClipEmbeddings(store.settings.clip), SHARD)
    assert (status.rows, status.fresh, status.stale, status.missing) == (5, 0, 0, 5)
    assert status.causes == {"new": 5}


def test_new_gone_and_changed_rows_are_counted_apart(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    run_feature(store, First(), SHARD)
    put_frames(store, [(n, 0, "f1") for n in range(2, 9)])
    status = shard_status(store, First(), SHARD)
    assert (status.rows, status.fresh, status.missing, status.gone) == (7, 4, 3, 2)
    put_frames(store, [(n, 0, "f2") for n in range(2, 9)])
    status = shard_status(store, First(), SHARD)
    assert (status.fresh, status.stale, status.missing) == (0, 4, 3)
    assert status.causes == {"new": 3, "upstream": 4}


def test_other_weights_are_the_cause_of_stale_rows(store: Store, frames: Callable[..., None], tmp_path: Path) -> None:
    frames(range(4))
    run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    other = ClipEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'other', seed=9)}"))
    assert shard_status(store, other, SHARD).causes == {"weights": 4}


def test_each_row_is_stale_for_what_changed_about_it(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    run_feature(store, First(), SHARD)
    put_frames(store, [(n, 0, "f2" if n < 2 else "f1") for n in range(7)])
    changed = First(Factor(factor=3.0))
    changed.weights = "w1"
    assert shard_status(store, First(Factor(factor=3.0)), SHARD).causes == {"new": 1, "config": 4, "config+upstream": 2}
    assert shard_status(store, changed, SHARD).causes == {"new": 1, "config+weights": 4, "config+weights+upstream": 2}
    assert shard_status(store, RewrittenFirst(), SHARD).causes == {"new": 1, "code": 4, "code+upstream": 2}


def test_failed_rows_are_a_cause_of_their_own_and_are_not_to_compute(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    third = Third()
    run_feature(store, First(), SHARD)
    run_feature(store, Second(), SHARD)
    third.broken = {time_of(2, 0), time_of(4, 0)}  # type: ignore[misc]
    run_feature(store, third, SHARD)
    status = shard_status(store, Third(), SHARD)
    assert (status.fresh, status.failed, status.to_compute) == (4, 2, 0)
    assert status.causes == {"failed": 2}
    assert compare(store, Third(), SHARD).failed.tolist() == [2, 4]
    put_frames(store, [(n, 0, "f2") for n in range(6)])
    status = shard_status(store, Third(), SHARD)
    assert (status.failed, status.causes) == (0, {"new": 2, "upstream": 4})
