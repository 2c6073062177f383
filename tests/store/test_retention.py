"""Vacuum: frees what nobody names, and never what a pin, a kept version or a running write needs."""

from __future__ import annotations

import os
import time

import pytest

from mmfs.errors import IntegrityError, PinError, StoreError
from mmfs.store import PackWriter, Store
from mmfs.store.pins import Pins
from mmfs.store.retention import vacuum
from tests.conftest import add_frames, add_media

DAY_US = 86_400_000_000
NOW_US = time.time_ns() // 1000
LATER_US = NOW_US + 30 * DAY_US


@pytest.fixture
def filled(store: Store) -> Store:
    """Frames written twice, so that one data file and one pack belong to the past."""
    add_media(store, "000001", range(4))
    add_frames(store, "000001", range(2))
    return store


def grow(store: Store) -> None:
    add_frames(store, "000001", range(4))


def paths(store: Store, prefix: str) -> set[str]:
    return {info.path for info in store.objects.list(prefix) if "/_delta_log/" not in info.path}


def test_what_a_replacement_left_behind_is_freed_and_the_rest_stays(filled: Store) -> None:
    grow(filled)
    report = vacuum(filled, keep_days=0, now_us=LATER_US)
    assert (report.data_files, report.packs, report.files_deleted) == (1, 1, 2)
    assert report.bytes_freed > 0
    assert paths(filled, "frames") == {file.path for file in filled.tables.files("frames")}
    assert filled.verify(deep=True).ok
    assert filled.tables.read("frames").num_rows == 12
    assert vacuum(filled, keep_days=0, now_us=LATER_US).files_deleted == 0


def test_recent_history_stays_readable(filled: Store) -> None:
    version = filled.tables.version("frames")
    grow(filled)
    assert vacuum(filled, keep_days=7, now_us=LATER_US).files_deleted == 0
    rows = filled.tables.read("frames", version=version)
    assert len(filled.blobs("frames", rows)) == 6


def test_history_that_was_vacuumed_says_so(filled: Store) -> None:
    version = filled.tables.version("frames")
    grow(filled)
    vacuum(filled, keep_days=0, now_us=LATER_US)
    with pytest.raises(StoreError, match=f"version {version} of frames is gone"):
        filled.tables.read("frames", version=version)


def test_everything_a_pin_names_stays_until_it_is_removed(filled: Store) -> None:
    pin = Pins(filled).create("keep", columns=["frames.image", "raw_media.width"], now_us=NOW_US)
    grow(filled)
    add_media(filled, "000001", range(9))
    report = vacuum(filled, keep_days=0, now_us=LATER_US)
    assert (report.files_deleted, report.pins) == (0, ("keep",))
    pinned = filled.tables.read("frames", version=pin.tables["frames"].version)
    assert filled.blobs("frames", pinned) == [f"frame {n}:{i};".encode() * 20 for n in range(2) for i in range(3)]
    assert filled.verify(deep=True).ok

    Pins(filled).remove("keep")
    assert vacuum(filled, keep_days=0, now_us=LATER_US).files_deleted == 3


def test_a_pin_that_cannot_be_read_stops_the_vacuum(filled: Store) -> None:
    grow(filled)
    filled.objects.put("pins/broken.json", b"{")
    with pytest.raises(PinError):
        vacuum(filled, keep_days=0, now_us=LATER_US)
    assert len(paths(filled, "frames")) == 2


def test_files_of_a_write_in_progress_stay_and_those_of_a_dead_one_go(filled: Store) -> None:
    with PackWriter(filled.objects, "frames", "000002") as packs:
        packs.add("a.jpg", b"written, not committed yet")
        packs.finish()
    committed = filled.objects.get(filled.tables.files("frames")[0].path)
    filled.objects.put("frames/shard=000002/0000000000000000-0.parquet", committed)
    filled.objects.put("staging/half", b"half a file")
    assert vacuum(filled, keep_days=0, now_us=NOW_US).files_deleted == 0

    old_s = NOW_US / 1e6 - 2 * 86_400
    for path in (*paths(filled, "packs/frames/000002"), *paths(filled, "frames/shard=000002"), "staging/half"):
        os.utime(filled.objects.local_path(path) or "", (old_s, old_s))
    report = vacuum(filled, keep_days=1, now_us=NOW_US)
    assert (report.data_files, report.packs, report.leftovers) == (1, 1, 1)
    assert filled.verify(deep=True).ok


def test_a_damaged_data_file_stops_the_deletion_of_packs(filled: Store) -> None:
    grow(filled)
    file = filled.tables.files("frames")[0]
    filled.objects.put(file.path, bytes(file.size_bytes))
    with pytest.raises(IntegrityError, match=file.path):
        vacuum(filled, keep_days=0, now_us=LATER_US)
    assert len(paths(filled, "packs")) == 2
