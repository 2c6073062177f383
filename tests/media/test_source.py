"""A file is hashed and decoded as one snapshot of its bytes, and only a regular file is opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mmfs.media.info import Reason, RefusedError
from mmfs.media.source import open_source


def refusal(path: Path) -> Reason:
    with pytest.raises(RefusedError) as refused, open_source(path):
        pass
    return refused.value.reason


def test_the_bytes_are_hashed_and_begin_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "Clip.MP4"
    path.write_bytes(b"abc" * 5000)
    with open_source(path) as source:
        assert source.sha256 == hashlib.sha256(b"abc" * 5000).hexdigest()
        assert (source.size_bytes, len(source.head), source.suffix) == (15000, 4096, ".mp4")
        assert source.data.read() == b"abc" * 5000


def test_large_files_are_hashed_without_holding_them_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfs.media.source._IN_MEMORY_BYTES", 10)
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 5000)
    with open_source(path) as source:
        assert source.sha256 == hashlib.sha256(b"abc" * 5000).hexdigest()
        assert source.data.read() == b"abc" * 5000


def test_a_file_that_vanished_or_may_not_be_read_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone") is Reason.MISSING


def test_devices_pipes_and_directories_are_forbidden_and_open_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(tmp_path / "pipe.mp4") is Reason.FORBIDDEN
    assert refusal(Path("/dev/zero")) is Reason.FORBIDDEN
    assert refusal(tmp_path) is Reason.FORBIDDEN


def test_a_file_written_to_while_it_is_read_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    with pytest.raises(RefusedError) as refused, open_source(path):
        path.write_bytes(b"two, longer")
    assert refused.value.reason is Reason.CHANGED
