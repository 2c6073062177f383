"""Builds of the embedded engine for a store in a bucket: made and read on a local disk, kept in the bucket.

``index/<space>/<build id>/edge/`` holds the bytes of a build and ``edge.json`` what they are (`edge_bundle.py`);
``index/<space>/current.json`` names the build that answers and the one before it. The pointer is written last, and only
if it still names what it named when the build began: of two builders that began with the same build, one is refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pyarrow as pa

from mmfs.errors import IntegrityError, MissingObjectError, SearchError, StoreError
from mmfs.search.build_cache import BuildCache, Held
from mmfs.search.edge import EdgeIndex
from mmfs.search.edge_bundle import Bundle
from mmfs.search.edge_copy import copy_build
from mmfs.search.edge_process import EdgeProcess, sync_tree
from mmfs.search.edge_transfer import compare_build, fetch_build, send_build
from mmfs.search.pointer import next_pointer, parse_pointer, pointer_path, read_pointer
from mmfs.search.port import (
    BUILD_ANEW,
    BuildStats,
    DamagedBuildError,
    Index,
    IndexBuild,
    Published,
    SpaceSpec,
    no_previous,
)
from mmfs.search.refused import REFUSED, refused_by
from mmfs.store.objects_remote import RemoteObjects

_DATA, _LIST = "edge", "edge.json"

Made = TypeVar("Made")


class BucketEdgeEngine:
    """The embedded engine in a store in a bucket.

    Args:
        objects: The store.
        folder: Where this machine keeps builds, of all stores (see `build_cache.index_folder`).
    """

    name = "edge"

    def __init__(self, objects: RemoteObjects, folder: Path) -> None:
        self._objects = objects
        self._cache = BuildCache(folder, objects.url)

    def published(self, space: str) -> Published:
        return parse_pointer(read_pointer(self._objects, space), where=pointer_path(space))

    def begin(self, space: SpaceSpec, build_id: str, *, base: str | None) -> IndexBuild:
        before = read_pointer(self._objects, space.name)
        making = self._cache.making(space.name)

        def copy(held: Held) -> None:
            copy_build(held.path / _DATA, making.path / _DATA)
            held.release()

        bundle = None
        try:
            if base is not None:
                bundle = self._bundle(space.name, base)
                # A byte that this disk lost would be sent with the checksum of what it is now.
                self._hold(space.name, base, bundle, copy, deep=True)
            return _BucketBuild(self, space, build_id, making, before, bundle)
        except BaseException:
            self._cache.drop(making)
            raise

    def open(self, space: SpaceSpec, build_id: str) -> Index:
        return self._hold(space.name, build_id, self._bundle(space.name, build_id), _CachedIndex)

    def check(self, space: SpaceSpec, build_id: str, *, deep: bool) -> None:
        bundle = self._bundle(space.name, build_id)
        for name, size, there in self._lost(space.name, bundle):
            raise IntegrityError(
                f"of {size:,} bytes of build {build_id}, {there:,} are in the bucket", where=name, mend=BUILD_ANEW
            )
        if deep:
            compare_build(self._objects, bundle)
            self._hold(space.name, build_id, bundle, Held.release, deep=True)

    def rollback(self, space: str) -> str:
        before = read_pointer(self._objects, space)
        now = parse_pointer(before, where=pointer_path(space))
        if now.previous is None or not self._objects.exists(f"{_folder(space, now.previous)}/{_LIST}"):
            raise no_previous(space, now)
        self._publish(space, now.previous, before)
        return now.previous

    def builds(self, space: str) -> list[str]:
        objects, listed = self._found(space)
        used = self._used(space, listed)
        return sorted(listed | {_build_of(name) for name in objects if name not in used})

    def remove(self, space: str, build_id: str) -> None:
        folder = _folder(space, build_id)
        self._objects.delete(f"{folder}/{_LIST}")  # first, so that nobody begins to read it
        _, listed = self._found(space)
        used = self._used(space, listed - {build_id})
        for found in list(self._objects.list(folder)):
            if found.path not in used:
                self._objects.delete(found.path)

    def _found(self, space: str) -> tuple[dict[str, int], set[str]]:
        """Objects with bytes of builds, with their sizes, and the builds whose list is there."""
        objects, listed = {}, set()
        for found in self._objects.list(f"index/{space}"):
            _, _, build_id, *rest = found.path.split("/")
            if rest == [_LIST]:
                listed.add(build_id)
            elif rest[:1] == [_DATA]:
                objects[found.path] = found.size_bytes
        return objects, listed

    def _used(self, space: str, builds: set[str]) -> set[str]:
        """Objects that these builds need, wherever they lie."""
        used: set[str] = set()
        for build_id in builds:
            # Removed meanwhile, or damaged: nobody can read that build.
            with suppress(MissingObjectError, DamagedBuildError):
                used |= self._bundle(space, build_id).objects().keys()
        return used

    def _lost(self, space: str, bundle: Bundle) -> Iterator[tuple[str, int, int]]:
        """Objects of a build that are not in the bucket, whole: their names, sizes, and how much is there."""
        there, _ = self._found(space)
        for name, size in bundle.objects().items():
            if there.get(name, 0) < size:
                yield name, size, there.get(name, 0)

    def _hold(
        self, space: str, build_id: str, bundle: Bundle, use: Callable[[Held], Made], *, deep: bool = False
    ) -> Made:
        """What ``use`` makes of a build on this machine's disk, fetched if it is not there, or no longer whole.

        ``use`` lets go of the build; where it fails, this does.

        Args:
            deep: Compare all bytes on the disk with their checksums first.

        Raises:
            SearchError: This machine's disk does not keep it, or the system refuses to open or copy it.
        """

        def fetch(directory: Path) -> None:
            fetch_build(self._objects, bundle, directory / _DATA)
            sync_tree(directory)

        lost: DamagedBuildError | None = None
        for _ in range(2):
            try:
                held = self._cache.hold(space, build_id, fetch)
            except OSError as error:
                raise refused_by(error, where=_folder(space, build_id)) from error
            try:
                if bundle.is_whole(held.path / _DATA, deep=deep):
                    return use(held)
            except DamagedBuildError as error:
                lost = error
            except OSError as error:
                if error.errno in REFUSED:
                    held.release()
                    raise refused_by(error, where=str(held.path)) from error
            except BaseException:
                held.release()
                raise
            held.release()
            self._cache.forget(space, build_id)  # the disk lost some of it
        raise lost or SearchError(
            f"build {build_id} of {space} is not whole on this machine's disk",
            where=str(held.path),
            mend="look for space and errors of the disk, or name another folder with MMFS_CACHE__DIR",
        )

    def _bundle(self, space: str, build_id: str) -> Bundle:
        path = f"{_folder(space, build_id)}/{_LIST}"
        return Bundle.from_json(self._objects.get(path), where=path)

    def _send(self, space: str, build_id: str, directory: Path, base: Bundle | None, before: bytes | None) -> None:
        """Write a finished build into the bucket, and look whether all of it is there."""
        staging = directory.parent / "staging"
        staging.mkdir()
        bundle = send_build(self._objects, f"{_folder(space, build_id)}/{_DATA}", directory, staging, base=base)
        self._objects.put(f"{_folder(space, build_id)}/{_LIST}", bundle.to_json())
        for left in staging.iterdir():
            left.unlink()
        staging.rmdir()
        for name, size, there in self._lost(space, bundle):
            if read_pointer(self._objects, space) != before:
                raise self._refused(space)  # whoever published meanwhile has cleared away what began before
            raise IntegrityError(
                f"{there:,} of {size:,} bytes arrived in the bucket",
                where=name,
                mend="nothing was published; materialize qdrant_index again",
            )

    def _publish(self, space: str, build_id: str, before: bytes | None, *, mends: bool = False) -> None:
        """Let another build answer; ``mends``: the one that answers is damaged.

        Raises:
            SearchError: Somebody else published since ``before`` was read: the pointer does not name this build.
            StoreError: No answer tells whether the pointer names it.
        """
        if self._objects.swap(pointer_path(space), next_pointer(before, build_id, mends=mends), before=before):
            return
        # A lost reply is asked for again, and refused if yet another build was published on top of this one meanwhile.
        with suppress(DamagedBuildError):
            now = self.published(space)
            if build_id in (now.current, now.previous):
                return
        raise self._refused(space)

    def _refused(self, space: str) -> SearchError:
        return SearchError(
            f"another build of {space} was published meanwhile",
            where=self._objects.url,
            mend="run this build again; keep builders of one store apart by the pool `index`",
        )


class _BucketBuild:
    """One build, by a child process on this machine."""

    def __init__(
        self,
        engine: BucketEdgeEngine,
        space: SpaceSpec,
        build_id: str,
        making: Held,
        before: bytes | None,
        base: Bundle | None,
    ) -> None:
        self._engine, self._space, self._build_id = engine, space.name, build_id
        self._making, self._before, self._base = making, before, base
        self._process = EdgeProcess(making.path / _DATA, space, fresh=base is None)
        self._is_kept = False
        #: Objects of this build are in the bucket, and no pointer can name them.
        self._is_loose = False

    @property
    def pid(self) -> int:
        """Process id of the builder."""
        return self._process.pid

    def upsert(self, points: pa.RecordBatch) -> None:
        self._process.upsert(points)

    def delete(self, ids: Sequence[UUID]) -> None:
        self._process.delete(ids)

    def finish(self, probes: pa.RecordBatch | None = None, *, touched: Sequence[str] | None = None) -> BuildStats:
        stats = self._process.finish(probes, touched)
        self._is_loose = True
        self._engine._send(self._space, self._build_id, self._making.path / _DATA, self._base, self._before)
        return stats

    def publish(self, *, mends: bool = False) -> None:
        self._is_loose = False  # where the reply is lost, the pointer may name it: only a refusal tells
        try:
            self._engine._publish(self._space, self._build_id, self._before, mends=mends)
        except SearchError:
            self._is_loose = True
            raise
        with suppress(OSError):  # it is published: a disk that cannot keep the copy costs the next reader a fetch
            self._engine._cache.keep(self._making, self._space, self._build_id).release()
            self._is_kept = True

    def abandon(self) -> None:
        self._process.kill()
        if not self._is_kept:
            self._engine._cache.drop(self._making)
        if self._is_loose:
            with suppress(StoreError):  # a later build clears away what is left, and the reason to abandon says more
                self._engine.remove(self._space, self._build_id)


class _CachedIndex(EdgeIndex):
    """A build on this machine's disk, which stays there until it is closed or forgotten."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.path / _DATA)
        self._release = weakref.finalize(self, held.release)

    def close(self) -> None:
        super().close()
        self._release()


def _folder(space: str, build_id: str) -> str:
    return f"index/{space}/{build_id}"


def _build_of(name: str) -> str:
    return name.split("/")[2]
