"""A refresh shares files with the build it begins with, and must never change one of them."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from uuid import NAMESPACE_DNS

import numpy as np
import pyarrow as pa
import pytest

from mmfs.ids import digest
from mmfs.search import edge, edge_copy
from mmfs.search.conditions import Equals
from mmfs.search.edge_copy import copy_build
from mmfs.search.points import point_id, point_id_bytes
from tests.search.engines import SPACE

#: Few vectors, but long ones: beyond 10 MB the engine makes a finished segment with a graph.
ROWS, DIM = 700, 8000
WIDE = replace(SPACE, dim=DIM)


def points(numbers: range, mark: str = "a") -> pa.RecordBatch:
    vectors = np.random.default_rng(numbers.start).normal(size=(len(numbers), DIM)).astype(np.float32)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array([point_id_bytes(NAMESPACE_DNS, str(n)) for n in numbers], pa.binary(16)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            "shard": ["000000"] * len(numbers),
            "media_id": [f"{n:032x}" for n in numbers],
            "index": pa.array([0] * len(numbers), pa.int64()),
            "row_hash": [f"{mark}{n}" for n in numbers],
            "raw_media__kind": [f"{mark}{n % 7}" for n in numbers],
            "raw_media__width": pa.array(list(numbers), pa.int64()),
        }
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build with a graph and payload indexes. Read only."""
    directory = tmp_path_factory.mktemp("base") / "edge"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "_INDEXED_FROM", 0)
        writer = edge.EdgeWriter(directory, WIDE, fresh=True)
        writer.upsert(points(range(ROWS)))
        writer.seal()
    edge.EdgeIndex(directory).close()
    assert list(directory.rglob("links_compressed.bin"))
    return directory


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): digest(path.read_bytes()) for path in directory.rglob("*") if path.is_file()
    }


def test_a_changed_copy_leaves_every_byte_of_its_base_as_it_was(base: Path, tmp_path: Path) -> None:
    before = contents(base)
    copy = tmp_path / "copy"
    copy_build(base, copy)
    assert contents(copy) == before
    writer = edge.EdgeWriter(copy, WIDE, fresh=False)
    writer.upsert(points(range(50, 60), "b"))
    writer.delete([point_id(NAMESPACE_DNS, str(n)) for n in range(100, 150)])
    writer.upsert(points(range(ROWS, ROWS + 5)))
    writer.seal()
    changed = edge.EdgeIndex(copy)
    assert contents(base) == before
    assert (changed.count(), changed.count(Equals("raw_media__kind", "b3"))) == (ROWS - 45, 2)
    changed.close()
    again = tmp_path / "again"
    copy_build(copy, again)
    writer = edge.EdgeWriter(again, WIDE, fresh=False)
    writer.delete([point_id(NAMESPACE_DNS, str(n)) for n in range(100)])
    writer.seal()
    middle = edge.EdgeIndex(copy)
    assert middle.count() == ROWS - 45
    middle.close()
    kept = edge.EdgeIndex(base)
    assert (kept.count(), kept.count(Equals("raw_media__kind", "b3"))) == (ROWS, 0)
    kept.close()
    assert contents(base) == before


def test_vectors_and_graphs_are_shared_and_holes_stay_holes(base: Path, tmp_path: Path) -> None:
    copy_build(base, tmp_path / "copy")
    shared = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file() and path.stat().st_nlink > 1}
    assert {"matrix.dat", "links_compressed.bin"} <= shared
    assert not {"page_0.dat", "id_tracker.deleted", "deleted.dat", "segment.json"} & shared
    taken = sum(path.stat().st_blocks * 512 for path in (tmp_path / "copy").rglob("*") if path.stat().st_nlink == 1)
    own = sum(path.stat().st_blocks * 512 for path in base.rglob("*") if path.name not in shared)
    assert taken <= own * 1.05


def test_where_there_are_no_links_files_are_copied(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(edge_copy.os, "link", refused)
    copy_build(base, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(base)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "copy").rglob("*") if path.is_file())


def test_files_of_nothing_but_holes_and_with_bytes_after_holes_are_copied_exactly(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "empty").touch()
    with (source / "hole").open("wb") as file:
        file.truncate(1 << 20)
    with (source / "mixed").open("wb") as file:
        file.truncate(3 << 20)
        for place in (0, 1 << 20, (3 << 20) - 1):
            os.pwrite(file.fileno(), b"x", place)
    copy_build(source, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(source)
    assert (tmp_path / "copy" / "hole").stat().st_blocks == 0
