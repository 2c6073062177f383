"""The folder stays below its quota, and says so when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmfs.errors import LoaderError
from mmfs.loader.cache import open_cache
from mmfs.loader.cache.folder import CacheFolder
from mmfs.loader.cache.mirror import PackMirror
from mmfs.loader.cache.sidecar import Sidecar
from mmfs.loader.cache.small_files import SmallFiles
from mmfs.settings import CacheConfig

BLOCK = 4096


def fill(cache: CacheFolder, name: str, blocks: int, used_s: int) -> Path:
    path = cache.packs / f"{name}.ranges"
    path.write_bytes(bytes([1]) * blocks * BLOCK)
    os.utime(path, (used_s, used_s))
    return path


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path, 20 * BLOCK)
    old, new, middle = (fill(cache, name, 8, used_s) for name, used_s in (("a", 10), ("b", 30), ("c", 20)))
    cache.sweep()
    assert not old.exists()
    assert middle.exists()
    assert new.exists()


def test_holes_count_for_nothing(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path, 20 * BLOCK)
    mirror = PackMirror(cache.packs / "a.ranges")
    mirror.write(1 << 32, b"far")
    cache.sweep()
    assert (cache.packs / "a.ranges").exists()


def test_a_sweep_removes_nothing_that_is_not_of_the_cache(tmp_path: Path) -> None:
    for name in ("packs/pictures.tar", "rows/table.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes([1]) * 100 * BLOCK)
    cache = CacheFolder(tmp_path, 20 * BLOCK)
    own = fill(cache, "a", 30, 10)
    cache.sweep()
    assert not own.exists()
    assert (tmp_path / "packs/pictures.tar").exists()
    assert (tmp_path / "rows/table.parquet").exists()


def test_a_link_that_somebody_put_there_is_not_written_through(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path / "cache", 20 * BLOCK)
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    (cache.packs / "a.ranges").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        PackMirror(cache.packs / "a.ranges")
    (cache.rows / "a.rows").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        Sidecar(cache.rows / "a.rows", 10, 8)
    assert mine.read_bytes() == b"precious"


def test_a_sweep_comes_with_what_is_written(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path, 16 * BLOCK)
    for number in range(100):
        fill(cache, f"{number:03d}", 2, number + 1)
        cache.add_written(2 * BLOCK)
    left = sorted(path.stem for path in cache.packs.iterdir())
    assert len(left) <= 8
    assert left[-1] == "099"


def test_a_file_in_use_counts_as_used_and_is_let_go_when_removed(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path, 20 * BLOCK)
    path = fill(cache, "a", 8, 10)
    files = cache.open_files()
    mirror = files.get(0, lambda _: PackMirror(path))
    assert path.stat().st_mtime > 10
    assert files.get(0, lambda _: PackMirror(path)) is mirror
    path.unlink()
    cache.sweep()
    again = files.get(0, lambda _: PackMirror(path))
    assert again is not mirror
    assert os.fstat(mirror.fd).st_nlink == 0


def test_small_files_are_proved_by_their_checksum(tmp_path: Path) -> None:
    kept = SmallFiles(CacheFolder(tmp_path, 1 << 20))
    assert kept.get("key") is None
    kept.put("key", b"value")
    assert kept.get("key") == b"value"
    [path] = (tmp_path / "rows").iterdir()
    path.write_bytes(b"walue" + path.read_bytes()[5:])
    assert kept.get("key") is None


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LoaderError, match=r"cache folder cannot be used.*file/cache.*MMFS_CACHE__DIR"):
        CacheFolder(tmp_path / "file" / "cache", 1 << 30)


def test_the_argument_wins_over_the_setting_and_without_both_there_is_none(tmp_path: Path) -> None:
    config = CacheConfig(dir=str(tmp_path / "setting"))
    chosen, default = open_cache(tmp_path / "argument", config), open_cache(None, config)
    assert chosen is not None
    assert default is not None
    assert (chosen.root, default.root) == (tmp_path / "argument", tmp_path / "setting")
    assert open_cache(None, CacheConfig()) is None
