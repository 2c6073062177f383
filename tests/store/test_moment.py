"""Looking at tables once, and at a bucket's list of tables no more than is needed."""

from __future__ import annotations

from dataclasses import replace

from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from tests.conftest import add_media


def test_a_moment_sees_each_table_as_at_its_first_look_and_what_it_commits_itself(store: Store) -> None:
    other = Store.open(store.url, settings=store.settings)
    with store.tables.one_moment(), store.tables.one_moment():
        assert store.tables.read("raw_media").num_rows == 0
        add_media(other, "000000", range(2))
        assert store.tables.read("raw_media").num_rows == 0
        assert store.tables.version("sources") == other.tables.version("sources")
        add_media(store, "000001", range(5, 8))
        assert store.tables.read("raw_media").num_rows == 5
    assert store.tables.read("raw_media").num_rows == 5
    add_media(other, "000002", range(10, 11))
    assert store.tables.read("raw_media").num_rows == 6


def test_a_table_that_another_process_makes_is_there_at_once(store: Store) -> None:
    assert "colours" not in store.tables
    other = Store.open(store.url, settings=store.settings)
    other.tables.ensure(replace(BASE_TABLES["sources"], name="colours"))
    assert "colours" in store.tables
    assert "packs" not in store.tables
