"""Objects of a directory; the same promises hold for a bucket (tests/store/test_objects_remote.py)."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from mmfs.errors import StoreError
from mmfs.store import Objects
from mmfs.store.faults import arm


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(tmp_path / "root")


def test_what_was_put_is_read_back_whole_and_in_ranges(objects: Objects) -> None:
    objects.put("a/b.bin", bytes(range(100)))
    assert objects.get("a/b.bin") == bytes(range(100))
    assert objects.get_range("a/b.bin", 10, 3) == bytes([10, 11, 12])
    assert objects.get_ranges("a/b.bin", [(90, 2), (0, 1), (5, 0)]) == [bytes([90, 91]), b"\0", b""]
    assert objects.size("a/b.bin") == 100
    assert [(info.path, info.size_bytes) for info in objects.list()] == [("a/b.bin", 100)]
    assert objects.folders() == ["a", "staging"]


def test_pages_follow_one_another_in_the_order_of_names_whatever_comes_and_goes(objects: Objects) -> None:
    for name in ("b/2", "a", "b.txt", "b/1", "c"):
        objects.put(name, b"x")
    first = objects.page(most=2)
    assert [info.path for info in first] == ["a", "b.txt"]
    objects.delete("b.txt")
    objects.put("aa", b"x")
    assert [info.path for info in objects.page("b.txt", most=2)] == ["b/1", "b/2"]
    assert [info.path for info in objects.page("b/2")] == ["c"]
    assert list(objects.page("c")) == []


def test_a_file_can_be_put_by_copy_or_by_move(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")
    objects.put("copy", source)
    assert source.exists()
    objects.put("moved", source, consume=True)
    assert not source.exists()
    assert objects.get("copy") == objects.get("moved") == b"data"


def test_a_missing_object_is_a_store_error_that_names_it(objects: Objects) -> None:
    for read in (objects.get, objects.size, objects.open_file):
        with pytest.raises(StoreError, match=r"no/such does not exist"):
            read("no/such")
    with pytest.raises(StoreError, match=r"no/such"):
        objects.get_range("no/such", 0, 1)
    assert not objects.exists("no/such")
    objects.delete("no/such")
    assert list(objects.list("no")) == []
    assert objects.folders("no") == []


def test_a_range_beyond_the_end_is_an_error_and_never_short(objects: Objects) -> None:
    objects.put("x", b"12345")
    with pytest.raises(StoreError, match="ends before byte 7"):
        objects.get_ranges("x", [(0, 2), (4, 3)])


def test_put_if_absent_never_replaces(objects: Objects) -> None:
    objects.put("x", b"first", if_absent=True)
    with pytest.raises(StoreError, match="exists already"):
        objects.put("x", b"second", if_absent=True)
    assert objects.get("x") == b"first"


def test_of_many_put_if_absent_at_once_exactly_one_wins(objects: Objects) -> None:
    wins: list[int] = []

    def put(number: int) -> None:
        try:
            objects.put("x", str(number).encode(), if_absent=True)
        except StoreError:
            return
        wins.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert objects.get("x") == str(wins[0]).encode()
    assert list(objects.list("staging")) == []


def test_a_write_that_fails_leaves_the_old_object_and_no_litter(objects: Objects) -> None:
    objects.put("x", b"old")

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with arm("objects.before_rename", fail), pytest.raises(StoreError, match=r"cannot write x \(3 bytes\).*free space"):
        objects.put("x", b"new")
    assert objects.get("x") == b"old"
    assert list(objects.list("staging")) == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b"])
def test_a_name_that_leaves_the_root_is_refused(objects: Objects, name: str) -> None:
    with pytest.raises(StoreError, match="is no name inside the store"):
        objects.put(name, b"")


@pytest.mark.parametrize("name", ["/x", "a//x", "a/./x", "a/", "./a", "a\tb"])
def test_a_name_that_may_be_taken_for_anothers_is_refused(objects: Objects, name: str) -> None:
    for ask in (objects.get, objects.exists, objects.delete):
        with pytest.raises(StoreError, match="is no name inside the store"):
            ask(name)


def test_files_that_others_named_oddly_are_none_of_the_stores(tmp_path: Path) -> None:
    objects = Objects.open(tmp_path)
    objects.put("packs/x", b"x")
    for name in ("packs/a\\b", "packs/a\tb", "in\tside/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [info.path for info in objects.list()] == ["packs/x"]
    assert "in\tside" not in objects.folders()


def test_a_folder_that_cannot_be_read_is_an_error_and_never_looks_empty(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("a/closed/1", b"x")
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for look in (lambda: list(objects.list("a")), lambda: objects.folders("a/closed")):
        with pytest.raises(StoreError, match=r"cannot read a/closed: Permission denied .*; check permissions"):
            look()
    assert (list(objects.list("nowhere")), objects.folders("nowhere")) == ([], [])


def test_another_scheme_is_refused_with_the_mend() -> None:
    with pytest.raises(StoreError, match=r"'ftp://host/x'.*directory or s3://"):
        Objects.open("ftp://host/x")


def test_a_file_url_is_a_directory(tmp_path: Path) -> None:
    assert Objects.open(f"file://{tmp_path}").url == str(tmp_path)
