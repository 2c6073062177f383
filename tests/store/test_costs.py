"""Costs, kept with the rows that they are of."""

from __future__ import annotations

import doctest

import pyarrow as pa
import pytest

import mmfs.store.costs
from mmfs.store import Store
from mmfs.store.costs import Cost, cost_in, costs, recorded_cost
from tests.conftest import media_rows

COST = Cost(
    rows=7,
    wall_s=1.25,
    load_s=3.5,
    device_s=0.75,
    read_s=0.125,
    write_s=0.0625,
    device="a device, 2 cores",
    pack_bytes=4096,
    batch_size=16,
    libraries={"torch": "2.9.0", "numpy": "2.3.1"},
)


def put(store: Store, shard: str, rows: pa.Table, cost: Cost) -> None:
    before = store.tables.commit_info("raw_media", shard)
    store.tables.update("raw_media", shard, lambda _: rows, info=recorded_cost(cost, before=before))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.store.costs).failed == 0


def test_what_is_recorded_is_read_back() -> None:
    recorded = recorded_cost(COST)
    assert all(isinstance(text, str) for text in recorded.values())
    assert cost_in(recorded) == COST
    assert cost_in({"fingerprint.code": "00"}) is None


def test_costs_come_with_the_size_of_what_was_written(store: Store) -> None:
    put(store, "000001", media_rows(range(20)), COST)
    (found,) = costs(store, "raw_media")
    (file,) = store.tables.files("raw_media")
    assert found.table_bytes_per_row == pytest.approx(file.size_bytes / 20)
    assert (found.rows, found.device) == (7, "a device, 2 cores")


def test_where_nothing_was_computed_the_older_cost_stays(store: Store) -> None:
    put(store, "000001", media_rows(range(20)), COST)
    put(store, "000001", media_rows(range(5)), Cost(rows=0, wall_s=0.01))
    put(store, "000001", media_rows(range(4)), Cost(rows=0, wall_s=0.01))
    assert [found.wall_s for found in costs(store, "raw_media")] == [1.25]


def test_a_handful_of_rows_does_not_replace_what_many_told() -> None:
    many = recorded_cost(Cost(rows=1000, wall_s=50.0, device="here"))
    few = Cost(rows=20, wall_s=9.0, device="here")
    assert recorded_cost(few, before=many) == many
    assert cost_in(recorded_cost(Cost(rows=200, wall_s=9.0, device="here"), before=many)) != cost_in(many)
    elsewhere = cost_in(recorded_cost(Cost(rows=20, wall_s=9.0, device="there"), before=many))
    assert elsewhere is not None
    assert (elsewhere.rows, elsewhere.device) == (20, "there")


def test_libraries_of_rows_that_are_kept_are_remembered() -> None:
    before = recorded_cost(Cost(rows=9, wall_s=1.0, libraries={"torch": "2.8", "gone": "1"}))
    now = Cost(rows=9, wall_s=1.0, libraries={"torch": "2.9", "numpy": "2.3"})
    assert recorded_cost(now, before=before, kept=3)["library.torch"] == "2.8/2.9"
    assert recorded_cost(now, before=before)["library.torch"] == "2.9"
    again = recorded_cost(now, before=recorded_cost(now, before=before, kept=3), kept=3)
    assert {name: again[f"library.{name}"] for name in ("torch", "numpy")} == {"torch": "2.8/2.9", "numpy": "2.3"}


def test_shards_without_rows_or_costs_say_nothing(store: Store) -> None:
    put(store, "000001", media_rows(range(0)), COST)
    store.tables.update("raw_media", "000002", lambda _: media_rows(range(3)))
    assert costs(store, "raw_media") == []
    assert costs(store, "never_computed") == []


def test_of_many_shards_some_are_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmfs.store.costs, "_SHARDS", 3)
    for number in range(7):
        put(store, f"{number:06d}", media_rows([number]), Cost(rows=number + 1, wall_s=1.0))
    assert [found.rows for found in costs(store, "raw_media")] == [1, 4, 7]
