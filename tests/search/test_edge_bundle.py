"""A directory as objects and back: bytes, sizes and holes, and what is not sent twice."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from mmfs.search.edge_bundle import Bundle, BundledFile
from mmfs.search.edge_copy import copy_build
from mmfs.search.edge_transfer import fetch_build, send_build
from mmfs.search.extents import pieces
from mmfs.search.port import DamagedBuildError
from tests.search.engines import bucket

MIB = 1 << 20
#: (offset, bytes) of stretches, and the size of the file.
FILES = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "c/e/f"]),
    st.tuples(
        st.lists(st.tuples(st.integers(0, 3 * MIB), st.binary(min_size=1, max_size=64)), max_size=3), st.booleans()
    ),
)


def write(directory: Path, files: dict[str, tuple[list[tuple[int, bytes]], bool]]) -> None:
    directory.mkdir()
    (directory / "empty").mkdir()
    for name, (stretches, is_large) in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(4 * MIB)
            if is_large:
                file.write(name.encode() * MIB)
            for offset, data in stretches:
                file.seek(offset)
                file.write(data)


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


@settings(max_examples=15, deadline=None)
@given(files=FILES, changed=FILES)
def test_what_is_sent_comes_back_and_equal_files_are_not_sent_again(
    tmp_path_factory,
    files,
    changed,  # type: ignore[no-untyped-def]
) -> None:
    folder, objects = tmp_path_factory.mktemp("bundle"), bucket(MemoryStore())
    (folder / "staging").mkdir()
    write(folder / "one", files)
    first = send_build(objects, "x/1", folder / "one", folder / "staging", base=None)
    write(folder / "two", files | changed)
    second = send_build(objects, "x/2", folder / "two", folder / "staging", base=first)
    for made, bundle in (("one", first), ("two", second)):
        read = Bundle.from_json(bundle.to_json(), where="test")
        assert read == bundle
        fetch_build(objects, read, folder / f"{made} again")
        assert contents(folder / f"{made} again") == contents(folder / made)
        assert read.is_whole(folder / f"{made} again", deep=True)
    written = {name for name, (stretches, is_large) in files.items() if stretches or is_large}
    unchanged = {name for name in written if (files | changed)[name] == files[name]}
    carried = {file.path for file in second.files if file.object.startswith("x/1")}
    assert unchanged <= carried
    assert all(contents(folder / "one")[name] == contents(folder / "two")[name] for name in carried)


def test_holes_are_neither_sent_nor_written(tmp_path: Path) -> None:
    objects, staging = bucket(MemoryStore()), tmp_path / "staging"
    staging.mkdir()
    write(tmp_path / "made", {"hollow": ([(2 * MIB, b"word")], False)})
    bundle = send_build(objects, "x", tmp_path / "made", staging, base=None)
    assert sum(info.size_bytes for info in objects.list("x")) <= 64 << 10
    fetch_build(objects, bundle, tmp_path / "again")
    assert os.stat(tmp_path / "again" / "hollow").st_blocks * 512 <= 64 << 10


def test_a_disk_that_cannot_be_read_is_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "made", {"hollow": ([(2 * MIB, b"word")], False)})
    (tmp_path / "staging").mkdir()

    def broken(*_: int) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "lseek", broken)
    with pytest.raises(OSError, match="input/output error"):
        send_build(bucket(MemoryStore()), "x", tmp_path / "made", tmp_path / "staging", base=None)
    with pytest.raises(OSError, match="input/output error"):
        copy_build(tmp_path / "made", tmp_path / "copy")


def test_a_file_that_ends_early_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    with (tmp_path / "file").open("rb") as file, pytest.raises(EOFError, match="ends 2 bytes before"):
        list(pieces(file, 1, 4))


LISTED = Bundle(
    (BundledFile("a/b", 9000, ((0, 5), (4096, 7)), "0" * 64, "x/small", 3), BundledFile("c", 0, (), "1" * 64, "", 0)),
    ("a",),
)


def test_no_bit_of_a_list_can_flip_without_being_seen() -> None:
    data = LISTED.to_json()
    for number in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[number] ^= 1 << bit
            try:
                read = Bundle.from_json(bytes(flipped), where="list")
            except DamagedBuildError:
                continue
            assert read == LISTED, "a space that became another"


def test_a_list_of_before_lists_had_digests_is_read_and_one_with_odd_numbers_is_not() -> None:
    document = json.loads(LISTED.to_json())
    del document["digest"]
    assert Bundle.from_json(json.dumps(document).encode(), where="list") == LISTED
    odd = {
        "size_bytes": [-1, "9000", 9000.0, True, 4000],
        "offset": [-1, None, "3"],
        "extents": [[[0, -5]], [[0, 5], [4, 2]], [[0]], [["0", "5"]], 5],
        "sha256": ["0" * 63, 5],
        "object": ["", "../x", 5],
        "path": ["../b", 5, ""],
        "more": [1],
    }
    for key, values in odd.items():
        for value in values:
            [file, *others] = document["files"]
            wrong = document | {"files": [file | {key: value}, *others]}
            with pytest.raises(DamagedBuildError):
                Bundle.from_json(json.dumps(wrong).encode(), where="list")


def test_what_is_compared_deep_has_its_bytes_and_what_is_not_has_its_sizes(tmp_path: Path) -> None:
    write(tmp_path / "made", {"a": ([(2 * MIB, b"word")], True), "b": ([], False)})
    (tmp_path / "staging").mkdir()
    bundle = send_build(bucket(MemoryStore()), "x", tmp_path / "made", tmp_path / "staging", base=None)
    assert bundle.is_whole(tmp_path / "made", deep=True)
    with (tmp_path / "made" / "a").open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"ward")
    assert bundle.is_whole(tmp_path / "made", deep=False)
    assert not bundle.is_whole(tmp_path / "made", deep=True)
    (tmp_path / "made" / "b").unlink()
    assert not bundle.is_whole(tmp_path / "made", deep=False)


@pytest.mark.parametrize("lost", [errno.ENOENT, errno.EIO, errno.ENOTDIR, errno.EISDIR])
def test_what_the_disk_lost_is_not_whole_and_what_the_system_refuses_is_not_taken_for_lost(
    lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "made", {"a": ([(0, b"word")], False)})
    (tmp_path / "staging").mkdir()
    bundle = send_build(bucket(MemoryStore()), "x", tmp_path / "made", tmp_path / "staging", base=None)
    for call, deep in (("stat", False), ("open", True)):
        for number in (lost, errno.EMFILE):

            def fails(path: Path, *_: object, number: int = number) -> None:
                raise OSError(number, os.strerror(number), str(path))

            with monkeypatch.context() as patched:
                patched.setattr(Path, call, fails)
                if number == lost:
                    assert not bundle.is_whole(tmp_path / "made", deep=deep)
                    continue
                with pytest.raises(OSError, match="Too many open files"):
                    bundle.is_whole(tmp_path / "made", deep=deep)
