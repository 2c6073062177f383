"""Builds of the embedded engine as directories of the store, and the pointer file that publishes one of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pyarrow as pa

from mmfs.search.edge import EdgeIndex
from mmfs.search.edge_copy import copy_build
from mmfs.search.edge_process import LOG, EdgeProcess
from mmfs.search.pointer import next_pointer, parse_pointer, pointer_path, read_pointer
from mmfs.search.port import BuildStats, Index, IndexBuild, Published, SpaceSpec, no_previous
from mmfs.search.refused import refusals
from mmfs.store.objects import Objects

_DATA = "edge"


class EdgeEngine:
    """The embedded engine in a store on a local disk.

    ``index/<space>/<build id>/edge/`` is a build; ``index/<space>/current.json`` names the one that answers and the
    one before it. `bucket_engine.py` is for stores in buckets.
    """

    name = "edge"

    def __init__(self, objects: Objects) -> None:
        root = objects.local_path("index")
        assert root is not None, "a store on a local disk"
        self._objects = objects
        self._root = root

    def published(self, space: str) -> Published:
        return parse_pointer(read_pointer(self._objects, space), where=pointer_path(space))

    def begin(self, space: SpaceSpec, build_id: str, *, base: str | None) -> IndexBuild:
        directory = self._directory(space.name, build_id)
        shutil.rmtree(directory, ignore_errors=True)  # left by a builder that died
        directory.parent.mkdir(parents=True, exist_ok=True)
        if base is not None:
            with refusals(str(directory)):
                copy_build(self._directory(space.name, base), directory)
        return _EdgeBuild(self, space, build_id, directory, fresh=base is None)

    def open(self, space: SpaceSpec, build_id: str) -> Index:
        return EdgeIndex(self._directory(space.name, build_id))

    def check(self, space: SpaceSpec, build_id: str, *, deep: bool) -> None:
        """Opening a build of this disk tells; of its bytes, the engine keeps no checksums."""

    def publish(self, space: str, build_id: str, *, mends: bool = False) -> None:
        """Let another build answer; ``mends``: the one that answers is damaged."""
        self._objects.put(pointer_path(space), next_pointer(read_pointer(self._objects, space), build_id, mends=mends))

    def rollback(self, space: str) -> str:
        now = self.published(space)
        if now.previous is None or not self._directory(space, now.previous).is_dir():
            raise no_previous(space, now)
        self.publish(space, now.previous)
        return now.previous

    def builds(self, space: str) -> list[str]:
        folder = self._root / space
        if not folder.is_dir():
            return []
        return sorted(found.name for found in folder.iterdir() if (found / _DATA).is_dir() or (found / LOG).is_file())

    def remove(self, space: str, build_id: str) -> None:
        shutil.rmtree(self._root / space / build_id, ignore_errors=True)

    def _directory(self, space: str, build_id: str) -> Path:
        return self._root / space / build_id / _DATA


class _EdgeBuild:
    """One build, by a child process."""

    def __init__(self, engine: EdgeEngine, space: SpaceSpec, build_id: str, directory: Path, *, fresh: bool) -> None:
        self._engine, self._space, self._build_id = engine, space, build_id
        self._process = EdgeProcess(directory, space, fresh=fresh)
        self._is_asked = False

    @property
    def pid(self) -> int:
        """Process id of the builder."""
        return self._process.pid

    def upsert(self, points: pa.RecordBatch) -> None:
        self._process.upsert(points)

    def delete(self, ids: Sequence[UUID]) -> None:
        self._process.delete(ids)

    def finish(self, probes: pa.RecordBatch | None = None, *, touched: Sequence[str] | None = None) -> BuildStats:
        return self._process.finish(probes, touched)

    def publish(self, *, mends: bool = False) -> None:
        self._is_asked = True  # an interruption may come after the pointer was written
        self._engine.publish(self._space.name, self._build_id, mends=mends)

    def abandon(self) -> None:
        self._process.kill()
        if not self._is_asked:
            self._engine.remove(self._space.name, self._build_id)
