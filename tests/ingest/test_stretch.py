"""A walk in stretches shows each file that stays exactly once, whatever comes and goes between them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.folders import Files
from mmfs.ingest.roots import Roots
from mmfs.ingest.stretch import Stretch, stretch
from mmfs.store import Objects
from mmfs.store.objects_local import LocalObjects

NAMES = st.sampled_from(["a", "a.jpg", "b", "b.jpg", "a b", "ä.jpg", "z", "Z.jpg", "-", "~"])
#: A file at the end of a few folders.
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
#: Between two stretches: what is made and what is removed.
CHANGES = st.lists(st.tuples(st.lists(PATHS, max_size=3), st.lists(PATHS, max_size=3)), max_size=6)


def make(root: Path, path: tuple[str, ...]) -> bool:
    """Write a file, unless a folder is in its place, or a file in the place of one of its folders."""
    file = root.joinpath(*path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    except OSError:
        return False
    return True


def remove(root: Path, path: tuple[str, ...], keep: set[str]) -> None:
    """Remove a file, or a folder with all in it, unless something in it has to stay."""
    file = root.joinpath(*path)
    inside = {str(file), *(str(below) for below in file.rglob("*"))} if file.is_dir() else {str(file)}
    if file.exists() and not inside & keep:
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def shown(part: Stretch) -> list[str]:
    return [entry.location for folder in part.folders for entry in folder.entries]


@given(staying=st.sets(PATHS, max_size=12), going=st.sets(PATHS, max_size=6), most=st.integers(1, 9), changes=CHANGES)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_every_file_that_stays_is_shown_once_whatever_comes_and_goes(
    tmp_path: Path, staying: set[tuple[str, ...]], going: set[tuple[str, ...]], most: int, changes: list
) -> None:
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    keep = {str(root.joinpath(*path)) for path in sorted(staying) if make(root, path)}
    for path in sorted(going):
        make(root, path)
    seen: list[str] = []
    after: str | None = None
    waiting = list(changes)
    while True:
        part = stretch(str(root), Roots.of([str(root)]), Files(), after=after, most=most)
        # The last stretch is empty where what was left has gone.
        assert part.looked <= most
        assert part.looked or part.end is None
        seen += shown(part)
        if part.end is None:
            break
        assert part.end != after
        after = part.end
        made, removed = waiting.pop() if waiting else ((), ())
        for path in removed:
            remove(root, path, keep)
        for path in made:
            make(root, path)
    assert len(seen) == len(set(seen))
    assert keep <= set(seen)


@given(staying=st.sets(PATHS, max_size=12), most=st.integers(1, 9), made=st.lists(PATHS, max_size=4))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
def test_so_is_every_object_of_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staying: set[tuple[str, ...]], most: int, made: list
) -> None:
    root = tmp_path / "bucket"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    monkeypatch.setattr(Objects, "open", lambda url: LocalObjects(root))
    keep = {f"s3://bucket/{'/'.join(path)}" for path in sorted(staying) if make(root, path)}
    seen: list[str] = []
    after: str | None = None
    while True:
        part = stretch("s3://bucket", Roots.of(["s3://bucket"]), Files(), after=after, most=most)
        seen += shown(part)
        after = part.end
        if after is None:
            break
        for path in made:
            make(root, path)
    assert len(seen) == len(set(seen))
    assert keep <= set(seen)


def test_what_lies_behind_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in "abc":
        for name in ("1/x.jpg", "2/y.jpg"):
            make(tmp_path, (folder, *name.split("/")))
    listed: list[str] = []
    really_scan = os.scandir

    def counting(path: str) -> object:
        listed.append(os.path.relpath(path, tmp_path))
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", counting)
    part = stretch(str(tmp_path), Roots.of([str(tmp_path)]), Files(), after="b/1/x.jpg", most=2)
    assert listed == [".", "b", "b/1", "b/2"]
    assert shown(part) == [str(tmp_path / "b/2/y.jpg")]


def test_a_stretch_tells_which_neighbours_there_are_beyond_its_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("photo.jpg", "photo.json", "photo.txt", "captions.csv"):
        make(tmp_path, (name,))
    (tmp_path / "photo.md").symlink_to("/etc/hostname")
    local = stretch(str(tmp_path), Roots.of([str(tmp_path)]), Files(), after="captions.csv", most=1)
    assert shown(local) == [str(tmp_path / "photo.jpg")]
    folder = str(tmp_path)
    assert [local.holds(folder, name) for name in ("photo.txt", "captions.csv", "photo.md", "gone")] == [
        True,
        True,
        False,
        False,
    ]
    asked: list[str] = []

    class Counting(LocalObjects):
        def exists(self, path: str) -> bool:
            asked.append(path)
            return super().exists(path)

    (tmp_path / "photo.md").unlink()
    monkeypatch.setattr(Objects, "open", lambda url: Counting(tmp_path))
    part = stretch("s3://bucket", Roots.of([]), Files(), after="captions.csv", most=2)
    names = ("photo.json", "photo.csv", "photo.txt", "captions.csv")
    assert [part.holds("s3://bucket", name) for name in names] == [True, False, True, True]
    assert asked == ["photo.txt", "captions.csv"]


def test_a_folder_that_refuses_is_told_of_once_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, ("a", "x.jpg"))
    make(tmp_path, ("b", "y.jpg"))
    really_scan = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied", path)
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    roots, warnings, seen, after = Roots.of([str(tmp_path)]), [], [], None
    while True:
        part = stretch(str(tmp_path), roots, Files(), after=after, most=1)
        warnings += [text for folder in part.folders for text in folder.warnings]
        seen += shown(part)
        after = part.end
        if after is None:
            break
    assert seen == [str(tmp_path / "b/y.jpg")]
    assert len(warnings) == 1
    monkeypatch.setattr(os, "scandir", lambda path: refusing("/a"))
    with pytest.raises(IngestError, match=r"cannot list .*Permission denied"):
        stretch(str(tmp_path), roots, Files(), after=None, most=1)


def test_a_bucket_that_refuses_is_an_error_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> Objects:
        raise StoreError("access denied", mend="check the AWS_* variables")

    monkeypatch.setattr(Objects, "open", refuse)
    with pytest.raises(IngestError, match=r"cannot list s3://bucket/x: access denied.*AWS_"):
        stretch("s3://bucket/x", Roots.of([]), Files(), most=10)


def test_a_stretch_of_a_slow_disk_ends_when_its_time_is_over_and_has_looked_at_something(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "a/3.jpg", "a/4.jpg", "b/5.jpg"):
        make(tmp_path, tuple(name.split("/")))
    seen: list[str] = []
    after: str | None = None
    steps = 0
    while steps == 0 or after is not None:
        part = stretch(str(tmp_path), Roots.of([str(tmp_path)]), Files(), after=after, until_s=0.0)
        assert part.looked <= 1
        seen += shown(part)
        after, steps = part.end, steps + 1
        assert steps < 20
    assert [location[-5:] for location in seen] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
