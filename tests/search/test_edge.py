"""Opening a build: what the disk lost is damage, and what the system refuses is not."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from mmfs.errors import SearchError
from mmfs.search import edge_engine
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.edge import EdgeIndex
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.port import DamagedBuildError
from mmfs.store import Objects
from tests.search.engines import SPACE, bucket, points


@contextmanager
def no_more_files(but: int = 0) -> Iterator[None]:
    """This process may open no file ``but`` so many at once, for as long as the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + but, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[BucketEdgeEngine, Path]:
    """A published build of sixty points, and its directory on this machine. Only to be read."""
    folder = tmp_path_factory.mktemp("made")
    engine = BucketEdgeEngine(bucket(MemoryStore()), folder)
    build = engine.begin(SPACE, "1", base=None)
    build.upsert(points(range(60)))
    build.finish()
    build.publish()
    [directory] = folder.glob("*/*/1/edge")
    EdgeIndex(directory).close()  # loads the library, which takes files of its own
    return engine, directory


def test_a_build_that_the_system_does_not_let_open_is_not_damaged(made: tuple[BucketEdgeEngine, Path]) -> None:
    with no_more_files(), pytest.raises(SearchError, match="the system refuses to open") as caught:
        EdgeIndex(made[1])
    assert not isinstance(caught.value, DamagedBuildError)
    assert os.strerror(errno.EMFILE) in str(caught.value)
    assert EdgeIndex(made[1]).count() == 60


@pytest.mark.parametrize("files", [0, 1])
def test_a_copy_that_the_system_does_not_let_compare_is_neither_damaged_nor_dropped(
    files: int, made: tuple[BucketEdgeEngine, Path]
) -> None:
    """With no file at all it cannot be held, with one it cannot be read."""
    mark = made[1].parent / "mark"
    mark.touch()
    with no_more_files(but=files), pytest.raises(SearchError, match="the system refuses to open or copy") as caught:
        made[0].check(SPACE, "1", deep=True)
    assert not isinstance(caught.value, DamagedBuildError)
    assert os.strerror(errno.EMFILE) in str(caught.value)
    made[0].check(SPACE, "1", deep=True)
    assert mark.exists()
    mark.unlink()


def test_a_base_that_the_disk_has_no_space_to_copy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(edge_engine, "copy_build", full)
    with pytest.raises(SearchError, match=r"No space left on device .*disk space"):
        EdgeEngine(Objects.open(tmp_path)).begin(SPACE, "2", base="1")


def test_a_base_of_which_the_disk_lost_some_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(edge_engine, "copy_build", lost)
    with pytest.raises(DamagedBuildError, match="Input/output error"):
        EdgeEngine(Objects.open(tmp_path)).begin(SPACE, "2", base="1")


@pytest.mark.parametrize(
    ("refusal", "damaged"),
    [
        (MemoryError(), False),
        (PermissionError(errno.EACCES, "permission denied"), False),
        (RuntimeError("cannot map: Cannot allocate memory (os error 12)"), False),
        (RuntimeError("cannot open: No such file or directory (os error 2)"), True),
        (RuntimeError("cannot read: Input/output error (os error 5)"), True),
        (RuntimeError("checksum mismatch"), True),
    ],
)
def test_a_copy_is_forgotten_where_it_is_damaged_and_kept_where_it_could_not_be_opened(
    refusal: Exception, damaged: bool, made: tuple[BucketEdgeEngine, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import qdrant_edge

    def refused(_: str) -> None:
        raise refusal

    monkeypatch.setattr(qdrant_edge, "EdgeShard", type("Shard", (), {"load": staticmethod(refused)}))
    mark = made[1].parent / "mark"
    mark.touch()
    with pytest.raises(SearchError) as caught:
        made[0].open(SPACE, "1")
    assert isinstance(caught.value, DamagedBuildError) == damaged
    monkeypatch.undo()
    made[0].open(SPACE, "1").close()
    assert mark.exists() != damaged


def test_no_file_that_was_emptied_is_anything_but_damage(made: tuple[BucketEdgeEngine, Path], tmp_path: Path) -> None:
    """Also where the library panics."""
    names = [path.relative_to(made[1]) for path in made[1].rglob("*") if path.is_file()]
    refused = 0
    for number, name in enumerate(names):
        copy = tmp_path / str(number)
        shutil.copytree(made[1], copy)
        (copy / name).write_bytes(b"")
        try:
            EdgeIndex(copy).close()
        except DamagedBuildError:
            refused += 1
    assert refused > len(names) // 3
