"""Which media were taken down, and that nobody asks the log where none was."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmfs.store import Store
from mmfs.store.delta import DeltaLog
from mmfs.store.tombstones import taken_down
from tests.conftest import media_id


def bury(store: Store, *numbers: int) -> None:
    rows = pa.table({"media_id": pa.array([media_id(n) for n in numbers], pa.string())})
    store.tables.update("tombstones", "all", lambda _: rows)


def test_they_are_sorted_and_named_once(store: Store) -> None:
    bury(store, 7, 3)
    store.tables.update("tombstones", "more", lambda _: pa.table({"media_id": [media_id(5)]}))
    assert taken_down(store).tolist() == [media_id(n).encode() for n in (3, 5, 7)]


def test_what_was_put_back_is_not_among_them(store: Store) -> None:
    bury(store, 7, 3)
    bury(store)
    assert taken_down(store).tolist() == []


def test_no_log_is_opened_where_nothing_was_ever_taken_down(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("the Delta log was opened")

    monkeypatch.setattr(DeltaLog, "snapshot", refuse)
    monkeypatch.setattr(DeltaLog, "open", refuse)
    found = taken_down(store)
    assert (len(found), found.dtype) == (0, "S32")
