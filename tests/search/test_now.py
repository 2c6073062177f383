"""Every commit is seen by the next search, though logs are asked only where something changed."""

from __future__ import annotations

import os

import pytest

from mmfs.search.now import FilesByShard
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.world import media, media_id, replace, write_shard


@pytest.fixture
def asked(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables whose logs were asked."""
    tables: list[str] = []
    snapshot = fresh.tables.log.snapshot
    monkeypatch.setattr(fresh.tables.log, "snapshot", lambda name: tables.append(name) or snapshot(name))
    return tables


def test_a_log_is_asked_once_until_somebody_commits(fresh: Store, asked: list[str]) -> None:
    files = FilesByShard(fresh)
    first = files.now()
    assert (first.version("frames"), sorted(first.files("frames"))) == (2, ["000000", "000001"])
    assert [files.now().version("frames") for _ in range(5)] == [2] * 5
    assert asked == ["frames"]
    write_shard(Store.open(fresh.url, settings=Settings(device="cpu")), "000002", [media(30, "red")])
    assert first.version("frames") == 2  # one moment stays one moment
    now = files.now()
    assert (now.version("frames"), sorted(now.files("frames"))) == (3, ["000000", "000001", "000002"])
    assert asked == ["frames", "frames"]


def test_a_commit_in_the_same_tick_of_the_clock_is_seen(fresh: Store) -> None:
    files = FilesByShard(fresh)
    version = files.now().version("tombstones")
    log = fresh.objects.local_path("tombstones/_delta_log")
    assert log is not None
    before = log.stat()
    replace(fresh, "tombstones", "000000", [{"media_id": media_id(0), "reason": "asked", "at_us": 1, "receipt": "{}"}])
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files.now().version("tombstones") == version + 1


def test_a_log_that_was_cleaned_up_is_asked_again(fresh: Store, asked: list[str]) -> None:
    files = FilesByShard(fresh)
    version = files.now().version("frames")
    log = fresh.objects.local_path("frames/_delta_log")
    assert log is not None
    (log / "00000000000000000000.json.tmp").touch()
    assert files.now().version("frames") == version
    assert asked == ["frames", "frames"]
