"""Logs of tables: old entries go, and every version that somebody needs can still be opened by its number."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from mmfs.errors import PinError, StoreError
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.log_cleanup import unneeded_entries
from mmfs.store.origin import committing_as
from mmfs.store.pins import Pins
from mmfs.store.retention import vacuum
from mmfs.store.versions import find_version
from tests.conftest import add_media

DAY_US = 86_400_000_000
NOW_US = time.time_ns() // 1000
LATER_US = NOW_US + 60 * DAY_US
CHECKPOINTS = (4, 8, 12)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 14 versions with three checkpoints, version 2 and 9 of it pinned. Only to be copied."""
    store = Store.open(tmp_path_factory.mktemp("long") / "store", settings=Settings())
    for version in range(1, 15):
        with committing_as(f"run of {version}"):
            add_media(store, "000001", range(version))
        if version in CHECKPOINTS:
            DeltaTable(store.objects.delta_url("raw_media")).create_checkpoint()
        if version in (2, 9):
            Pins(store).create(f"at-{version}", columns=["raw_media.width"], now_us=NOW_US)
    return Path(store.url)


@pytest.fixture
def long(made: Path, tmp_path: Path) -> Store:
    """The same, to work on."""
    return Store.open(shutil.copytree(made, tmp_path / "long"), settings=Settings())


def log_of(store: Store) -> set[int]:
    """Versions whose commits the log still has."""
    names = [info.path.rpartition("/")[2] for info in store.objects.list("raw_media/_delta_log")]
    return {int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdecimal()}


def rows_at(store: Store, version: int) -> int:
    return int(store.tables.read("raw_media", version=version).num_rows)


def test_what_opens_a_recent_or_pinned_version_stays_and_the_rest_goes(long: Store) -> None:
    report = vacuum(long, keep_days=7, now_us=LATER_US)
    assert log_of(long) == {0, 1, 2, 8, 9, 12, 13, 14}
    assert report.log_entries == 15 - 8 + 1, "with one checkpoint"
    fresh = Store.open(long.url)
    assert {version: rows_at(fresh, version) for version in (2, 9, 14)} == {2: 2, 9: 9, 14: 14}
    assert fresh.sql("SELECT count(*) AS n FROM raw_media", versions={"raw_media": 9})["n"][0].as_py() == 9
    assert fresh.verify(deep=True).ok
    assert vacuum(fresh, keep_days=7, now_us=LATER_US).log_entries == 0


def test_a_table_goes_on_after_its_log_was_cleaned_here_and_in_processes_that_had_it_open(long: Store) -> None:
    other = Store.open(long.url)
    assert other.tables.shards("raw_media") == {"000001": 14}
    vacuum(long, keep_days=7, now_us=LATER_US)
    for store in (other, long, Store.open(long.url)):
        count = store.tables.shards("raw_media")["000001"] + 1
        add_media(store, "000001", range(count))
        assert store.tables.shards("raw_media") == {"000001": count}
    assert long.tables.state("raw_media", "000001").app_version == 16


def test_a_process_that_slept_through_all_that_was_cleaned_away_finds_its_way_back(long: Store) -> None:
    sleeper = Store.open(long.url)
    assert sleeper.tables.version("raw_media") == 14
    sleeper.tables.state("raw_media", "000001")
    for count in range(15, 19):
        add_media(long, "000001", range(count))
    DeltaTable(long.objects.delta_url("raw_media")).create_checkpoint()
    vacuum(long, keep_days=7, now_us=LATER_US)
    assert 15 not in log_of(long)
    assert sleeper.tables.shards("raw_media") == {"000001": 18}
    add_media(sleeper, "000001", range(3))
    assert Store.open(long.url).tables.shards("raw_media") == {"000001": 3}


def test_when_a_pin_goes_its_versions_go_with_the_next_vacuum(long: Store) -> None:
    Pins(long).remove("at-2")
    vacuum(long, keep_days=7, now_us=LATER_US)
    assert log_of(long) == {8, 9, 12, 13, 14}


def test_a_version_that_is_gone_is_said_to_be(long: Store) -> None:
    vacuum(long, keep_days=7, now_us=LATER_US)
    fresh = Store.open(long.url)
    with pytest.raises(StoreError, match=r"version 6 of raw_media is gone \(vacuumed\)"):
        fresh.tables.read("raw_media", version=6)
    with pytest.raises(PinError, match="had no version at"):
        find_version(fresh.tables.log, "raw_media", "2020-01-01")


def test_a_run_or_a_time_means_the_version_that_it_meant_before_or_is_refused(long: Store) -> None:
    log = long.tables.log
    meant = {commit.version: commit for commit in log.commits("raw_media")}
    assert list(meant) == list(range(14, -1, -1))
    vacuum(long, keep_days=7, now_us=LATER_US)
    for version in (14, 13, 12):
        assert find_version(log, "raw_media", f"run of {version}") == version
        at = datetime.fromtimestamp(meant[version].at_us / 1e6, UTC)
        assert find_version(log, "raw_media", at) == max(v for v in meant if meant[v].at_us <= meant[version].at_us)
    for version in (11, 9, 8, 5, 2):  # those that are there still: the run may have gone on, and the time lie in a gap
        with pytest.raises(PinError, match=r"since version 12, where its log begins.*older version by its number"):
            find_version(log, "raw_media", f"run of {version}")
        with pytest.raises(PinError, match=r"the first one known is 12, of .*older one by its number"):
            find_version(log, "raw_media", datetime.fromtimestamp(meant[version].at_us / 1e6, UTC))
        if version in log_of(long):
            assert find_version(log, "raw_media", version) == version


def test_a_version_that_never_was_is_not_said_to_be_gone(long: Store) -> None:
    for version in (15, 10**15):
        with pytest.raises(StoreError, match=f"version {version} of raw_media does not exist; the newest is 14"):
            long.tables.read("raw_media", version=version)


def test_entries_of_the_last_month_stay_however_few_days_of_files_are_kept(long: Store) -> None:
    assert vacuum(long, keep_days=0, now_us=NOW_US + 20 * DAY_US).log_entries == 0
    assert log_of(long) == set(range(15))


def test_nothing_goes_that_is_newer_than_the_checkpoint_where_readers_begin(long: Store) -> None:
    hint = long.objects.get("raw_media/_delta_log/_last_checkpoint")
    long.objects.put("raw_media/_delta_log/_last_checkpoint", hint.replace(b"12", b"8"))
    gone = list(unneeded_entries(long.objects, "raw_media", pinned=(), before_us=LATER_US))
    assert max(int(info.path.rpartition("/")[2][:20]) for info in gone) == 7
    long.objects.put("raw_media/_delta_log/_last_checkpoint", b"{")
    assert list(unneeded_entries(long.objects, "raw_media", pinned=(), before_us=LATER_US)) == []


def test_only_what_is_older_than_a_checkpoint_that_is_old_itself_goes(long: Store) -> None:
    folder = "raw_media/_delta_log"
    for version in range(7):
        os.utime(long.objects.local_path(f"{folder}/{version:020}.json") or "", (1, 1))
    gone = list(unneeded_entries(long.objects, "raw_media", pinned=(), before_us=2_000_000))
    assert sorted(int(info.path.rpartition("/")[2][:20]) for info in gone) == [0, 1, 2, 3]


@pytest.mark.soak
def test_a_checkpoint_is_made_every_hundred_commits(store: Store) -> None:
    for version in range(1, 202):
        add_media(store, "000001", range(version % 7 + 1))
    names = {info.path.rpartition("/")[2] for info in store.objects.list("raw_media/_delta_log")}
    assert {f"{99:020}.checkpoint.parquet", f"{199:020}.checkpoint.parquet", "_last_checkpoint"} <= names
