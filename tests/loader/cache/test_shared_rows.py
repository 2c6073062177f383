"""Rows of a table whose cache folder fills while they are read: each record keeps its text."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mmfs.loader.cache.folder import CacheFolder
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Field, Records
from mmfs.loader.row_groups import RowGroups
from mmfs.loader.scratch import ScratchRows
from mmfs.store.faults import arm
from tests.loader.test_remote import pin_of
from tests.loader.world import World


@pytest.fixture
def captions(built_world: World, tmp_path: Path) -> RandomRows:
    """Two captions of each media: three files of 20, 14 and 6 rows."""
    store = built_world.store
    pin = pin_of(built_world, "captions", ["captions.text"])
    table, cache = pin.tables["captions"], CacheFolder(tmp_path, 1 << 30)
    text = Field("text", "text", dtype=None, dim=None)
    return RandomRows(store.objects, "captions", table, grain="caption", fields=[text], cache=cache)


def taken(captions: RandomRows, file: int) -> Records:
    """All records of one file."""
    return captions.take(np.arange(captions.first_row[file], captions.first_row[file + 1]))


def texts_of(captions: RandomRows, records: Records) -> list[str]:
    return [captions.text(*span) for span in records["text"].tolist()]


def stored(media: range) -> list[str]:
    return [f"caption {index} of {number}" for number in media for index in range(2)]


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_texts_of_rows_taken_before_the_disk_was_full_are_read_after_it(captions: RandomRows) -> None:
    before = taken(captions, 0), taken(captions, 2)
    with arm("cache.before_rows", _no_space):
        during = taken(captions, 1)
    assert texts_of(captions, before[1]) == stored(range(17, 20))
    assert texts_of(captions, before[0]) == stored(range(10))
    assert texts_of(captions, during) == stored(range(10, 17))


def test_threads_that_meet_the_full_disk_together_say_so_once_and_keep_their_texts(
    captions: RandomRows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[ScratchRows] = []
    together = threading.Barrier(3)

    class SlowlyMade(ScratchRows):
        def __init__(self, groups: RowGroups, folder: Path | None) -> None:
            time.sleep(0.05)  # others come to the same decision meanwhile, if they can
            super().__init__(groups, folder)
            made.append(self)

    def all_find_no_space() -> None:
        together.wait(60)
        _no_space()

    monkeypatch.setattr("mmfs.loader.cache.shared_rows.ScratchRows", SlowlyMade)
    with (
        arm("cache.before_rows", all_find_no_space),
        caplog.at_level(logging.WARNING, "mmfs.loader"),
        ThreadPoolExecutor(3) as threads,
    ):
        found = list(threads.map(lambda file: texts_of(captions, taken(captions, file)), range(3)))
    assert found == [stored(range(10)), stored(range(10, 17)), stored(range(17, 20))]
    assert len(made) == 1
    assert caplog.text.count("they go to the temporary folder") == 1
