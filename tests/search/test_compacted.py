"""Compaction moves the bytes of frames: an index that filters by their columns stays as good as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmfs.search import Hits, build_index
from mmfs.store import Store, compaction_choice

TABLE = "colour_embeddings"


def test_an_index_is_not_behind_frames_that_were_moved(
    fresh: Store, ask: Callable[..., Hits], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, shards = fresh, list(fresh.tables.shards("frames"))
    build_index(store, TABLE, shards)
    before = ask(store, "red", k=13, where="time_s >= 1")
    version = store.tables.version("frames")
    monkeypatch.setattr(compaction_choice, "DEAD_SHARE", -1.0)
    assert store.compact().rewritten
    assert store.tables.version("frames") > version
    after = ask(store, "red", k=13, where="time_s >= 1")
    assert (after.info.plan, after.info.lag_rows) == (before.info.plan, 0)
    assert "SQL" not in after.info.plan
    assert after.table.column("key").equals(before.table.column("key"))
    reports = build_index(store, TABLE, shards)
    assert {report.build_id for report in reports.values()} == {before.info.build_id}
    assert not any(report.changed for report in reports.values())
