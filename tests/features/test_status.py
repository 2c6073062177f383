"""Counting what is fresh, stale and missing, and why."""

from __future__ import annotations

from collections.abc import Callable

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.runner import run_feature
from mmfs.features.status import plan, shard_status
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.features.tiny import SHARD, write_clip


def test_before_the_first_run_all_rows_are_missing(store: Store, frames: Callable[..., None]) -> None:
    frames(range(5))
    status = shard_status(store, ClipEmbeddings(store.settings.clip), SHARD)
    assert (status.rows, status.fresh, status.stale, status.missing) == (5, 0, 0, 5)
    assert status.causes == {"new": 5}


def test_new_gone_and_changed_rows_are_counted_apart(store: Store, frames: Callable[..., None]) -> None:
    clip = ClipEmbeddings(store.settings.clip)
    frames(range(6))
    run_feature(store, clip, SHARD)
    frames(range(2, 9))
    status = shard_status(store, clip, SHARD)
    assert (status.rows, status.fresh, status.missing, status.gone) == (7, 4, 3, 2)
    frames(range(2, 9), fingerprint="frames-2")
    status = shard_status(store, clip, SHARD)
    assert (status.fresh, status.stale, status.missing) == (0, 4, 3)
    assert status.causes == {"new": 3, "upstream": 4}


def test_the_plan_sums_all_shards_and_names_causes(store: Store, frames: Callable[..., None], tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = ClipEmbeddings(store.settings.clip)
    frames(range(4))
    frames(range(10, 13), shard="000002")
    run_feature(store, clip, SHARD)
    other = ClipEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'other', seed=9)}"))
    found = plan(store, other)
    assert (found.rows, found.fresh, found.stale, found.missing) == (7, 0, 4, 3)
    assert found.causes == {"weights": 4, "new": 3}
    assert found.to_compute == 7
    assert [shard.shard for shard in found.shards] == [SHARD, "000002"]
