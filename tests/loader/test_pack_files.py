"""Packs of this machine are kept open, within what a process may keep open."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmfs.errors import LoaderError, MissingObjectError
from mmfs.loader.fetch import Bad, LocalFetcher, References
from mmfs.loader.pack_files import PackFiles
from mmfs.store import Objects


def open_packs(folder: Path) -> list[str]:
    """Names of the files of a folder that this process has open."""
    links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return sorted(Path(link).name for link in links if Path(link).parent == folder)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux what is open")
def test_of_many_packs_some_are_open_and_none_after_the_reader_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.loader.pack_files.most_open_files", lambda: 3)
    for number in range(5):
        (tmp_path / f"{number}.tar").write_bytes(bytes([number]) * 10)
    files = PackFiles(Objects.open(tmp_path), [f"{number}.tar" for number in range(5)])
    for number in (0, 1, 2, 3, 4, 0, 1):
        assert files.read(number, 2, 3) == bytes([number]) * 3
    assert open_packs(tmp_path) == ["0.tar", "1.tar", "4.tar"]
    del files
    assert open_packs(tmp_path) == []


def test_a_pack_in_use_outlives_its_name_and_one_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"bytes")
    files = PackFiles(Objects.open(tmp_path), ["a.tar", "b.tar"])
    assert files.read(0, 0, 2) == b"by"
    (tmp_path / "a.tar").unlink()
    assert files.read(0, 2, 10) == b"tes"
    with pytest.raises(MissingObjectError, match=r"b\.tar does not exist"):
        files.read(1, 0, 1)


def test_a_pack_that_cannot_be_opened_is_no_bad_sample(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    (tmp_path / "b.tar").symlink_to("b.tar")
    fetcher = LocalFetcher(Objects.open(tmp_path), ["a.tar", "b.tar"], verify=True)
    [[bad]] = [fetcher.fetch(references(0))]
    assert isinstance(bad, Bad)
    assert bad.reason == "cannot read a.tar: Is a directory"
    with pytest.raises(LoaderError, match=r"cannot open b\.tar: Too many levels of symbolic links.*ulimit -n"):
        fetcher.fetch(references(1))


def references(pack: int) -> References:
    return np.array([(pack, 0, 4, 0)], [("pack", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("crc32", "<u4")])
