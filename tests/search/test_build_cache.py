"""Copies of a bucket's builds on this machine's disk: fetched once, held while they are read, gone when outdated."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from mmfs.errors import SearchError
from mmfs.search.build_cache import BuildCache, index_folder
from mmfs.settings import CacheConfig, Settings


def test_what_dead_processes_left_and_nobody_asked_for_in_a_week_goes(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path, "s3://bucket/store")
    old, recent = (tmp_path / "other-store" / "space" / name for name in ("old", "recent"))
    dead, alive = tmp_path / "other-store" / "space" / ".making-1", cache.making("space")
    for folder in (old, recent, dead):
        folder.mkdir(parents=True)
    for folder in (old, dead, alive.path):
        os.utime(folder, (time.time() - 8 * 86_400,) * 2)
    cache.hold("space", "1", lambda _: None).release()
    assert [path.exists() for path in (old, recent, dead, alive.path)] == [False, True, False, True]
    cache.drop(alive)


def test_a_build_of_another_user_is_read_though_its_age_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("operation not permitted")

    cache = BuildCache(tmp_path, "s3://bucket/store")
    cache.hold("space", "1", lambda _: None).release()
    monkeypatch.setattr(os, "utime", refused)
    held = cache.hold("space", "1", lambda _: None)
    assert held.path.is_dir()
    held.release()


def test_readers_at_once_fetch_together_once(tmp_path: Path) -> None:
    fetched: list[int] = []

    def read(number: int) -> None:
        def fetch(_: Path) -> None:
            fetched.append(number)
            begun.wait(10)

        BuildCache(tmp_path, "s3://bucket/store").hold("space", "1", fetch).release()

    begun = threading.Event()
    readers = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for reader in readers:
        reader.start()
    begun.set()
    for reader in readers:
        reader.join(20)
    assert len(fetched) == 1


def test_a_folder_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SearchError, match=r"cannot be written.*MMFS_CACHE__DIR") as caught:
        BuildCache(tmp_path / "file", "s3://bucket/store").making("space")
    assert str(tmp_path / "file") in str(caught.value.where)


def test_the_folder_is_the_cache_s_or_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_folder(Settings(cache=CacheConfig(dir=str(tmp_path)))) == tmp_path / "index"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index_folder(Settings()) == tmp_path / "xdg" / "mmfs" / "index"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert index_folder(Settings()) == Path.home() / ".cache" / "mmfs" / "index"
