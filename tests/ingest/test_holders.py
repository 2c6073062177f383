"""Which shard holds which key, at which version."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.errors import StalePlanError
from mmfs.ingest.holders import Holders
from mmfs.store import Store
from tests.ingest.making import open_store


def put(store: Store, shard: str, *uris: str) -> int:
    return store.tables.update("listings", shard, lambda _: pa.table({"uri": pa.array(uris, pa.string())})).version


def test_holders_follow_the_table_and_read_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    put(store, "000000", "/a", "/x")
    first = put(store, "000001", "/b")
    holders = Holders(store.tables, "listings", "uri", ["/a", "/b", "/c"])
    assert holders.at() == {"/a": "000000", "/b": "000001"}
    assert holders.at(but="000000") == {"/b": "000001"}

    put(store, "000001", "/c")
    read: list[str] = []
    really_read = store.tables.read

    def counting(name: str, **options: object) -> pa.Table:
        read.extend(file.shard for file in options["files"])  # type: ignore[attr-defined]
        return really_read(name, **options)

    monkeypatch.setattr(store.tables, "read", counting)
    assert holders.at(but="000000") == {"/c": "000001"}
    assert read == ["000001"]
    assert holders.at(first) == {"/a": "000000", "/b": "000001"}


def test_a_key_that_another_shard_came_to_hold_makes_a_plan_stale(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    version = put(store, "000000", "/a")
    holders = Holders(store.tables, "listings", "uri", ["/a", "/b"])
    holders.check(["/a", "/b"], "000000", version)
    later = put(store, "000001", "/b")
    holders.check(["/a", "/b"], "000000", version)
    with pytest.raises(StalePlanError, match="/b"):
        holders.check(["/a", "/b"], "000000", later)


def test_no_keys_are_held_nowhere(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, "000000", "/a")
    assert Holders(store.tables, "listings", "uri", []).at() == {}


def test_files_whose_bounds_leave_out_all_keys_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    put(store, "000000", "/a", "/c")
    put(store, "000001", "/d", "/f")
    put(store, "000002")
    put(store, "000003", "/b", "/z")
    reaching = store.tables.files_reaching("listings", ["/ca", "/d", "/e"])
    assert [file.shard for file in reaching if file.rows] == ["000001", "000003"]
    read: list[str] = []
    really_read = store.tables.read

    def counting(name: str, **options: object) -> pa.Table:
        read.extend(file.shard for file in options["files"])  # type: ignore[attr-defined]
        return really_read(name, **options)

    monkeypatch.setattr(store.tables, "read", counting)
    assert Holders(store.tables, "listings", "uri", ["/d", "/e"]).at() == {"/d": "000001"}
    assert read == ["000001", "000003"]
