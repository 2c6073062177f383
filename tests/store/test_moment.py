"""Looking at tables once, and at a bucket no more than is needed."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import pytest
from deltalake import DeltaTable

from mmfs.errors import StoreError
from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from tests.conftest import add_media
from tests.s3 import s3_server


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


def test_a_look_at_a_table_of_a_bucket_is_one_request_while_nobody_commits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.store.delta._ENTRY_STAYS_S", math.inf)  # however slow this machine is
    with s3_server() as server:
        server.use(monkeypatch)
        bucket = Store.open(f"{server.make_bucket('looks')}/store", settings=store.settings)
        add_media(bucket, "000000", range(2))
        other = Store.open(bucket.url, settings=store.settings)
        assert other.tables.version("raw_media") == 1
        server.count_anew()
        assert [other.tables.version("raw_media") for _ in range(3)] == [1, 1, 1]
        entry = "/looks/store/raw_media/_delta_log/{:020}.json"
        assert (server.counts().requests, server.counts().others) == ({}, {f"HEAD {entry.format(2)}": 3})
        add_media(bucket, "000001", range(5, 6))
        assert other.tables.version("raw_media") == 2
        server.count_anew()
        assert other.tables.shards("raw_media") == {"000000": 2, "000001": 1}
        assert server.counts().others == {f"HEAD {entry.format(3)}": 1}


def test_a_look_at_a_table_of_a_bucket_passes_over_what_was_cleaned_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        server.use(monkeypatch)
        bucket = Store.open(f"{server.make_bucket('cleaned')}/store", settings=store.settings)
        sleeper = Store.open(bucket.url, settings=store.settings)
        assert sleeper.tables.version("raw_media") == 0
        for count in range(1, 4):
            add_media(bucket, "000000", range(count))
        DeltaTable(bucket.objects.delta_url("raw_media")).create_checkpoint()
        bucket.objects.delete(f"raw_media/_delta_log/{1:020}.json")
        monkeypatch.setattr("mmfs.store.delta._ENTRY_STAYS_S", 0.0)  # it slept for longer
        assert sleeper.tables.shards("raw_media") == {"000000": 3}


def test_a_forked_process_is_told_to_open_the_store_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server:
        server.use(monkeypatch)
        bucket = Store.open(f"{server.make_bucket('forks')}/store", settings=store.settings)
        assert bucket.tables.version("raw_media") == 0
        child = os.fork()
        if child == 0:
            code = 1
            signal.alarm(60)  # it would wait for threads that it does not have
            try:
                bucket.tables.version("raw_media")
            except StoreError as error:
                code = 7 if "do not use it across fork()" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_rows_of_a_bucket_are_read_by_one_request_a_file_since_the_log_knows_their_sizes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        server.use(monkeypatch)
        bucket = Store.open(f"{server.make_bucket('rows')}/store", settings=store.settings)
        add_media(bucket, "000000", range(2))
        add_media(bucket, "000001", range(5, 8))
        [first, second] = bucket.tables.files("raw_media")
        server.count_anew()
        assert bucket.tables.read("raw_media", columns=["media_id"]).num_rows == 5
        assert len(bucket.tables.digests("raw_media", ["000000", "000001"])) == 2
        rows = {path: count for path, count in server.counts().requests.items() if path.endswith(".parquet")}
        assert rows == {f"/rows/store/{file.path.replace('=', '%3D')}": 2 for file in (first, second)}
        assert not any(".parquet" in request for request in server.counts().others)
