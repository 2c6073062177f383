"""Builds of a bucket's indexes on this machine's disk: fetched once for all its processes, and removed when outdated.

``<root>/<store>/<space>/<build>/`` is a build that was fetched or made here; nothing in it is ever changed. Who reads
it holds a shared lock on the directory, who makes it an exclusive one; the system frees both when a process ends,
however it ends. What nobody holds may be removed at any time, and is fetched again when it is asked for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmfs.errors import SearchError
from mmfs.ids import digest
from mmfs.settings import Settings

#: A process waits so long for another one that is fetching, then fetches for itself: only work is saved by waiting.
_PATIENCE_S = 300.0
_POLL_S = 0.02
#: What nobody asked for during so many days is removed, whatever store it is of.
_UNUSED_DAYS = 7
#: A directory is locked a moment after it is made; a sweep leaves younger ones alone.
_UNTOUCHED_S = 60.0


def index_folder(settings: Settings) -> Path:
    """Where this machine keeps builds of stores in buckets: in ``MMFS_CACHE__DIR``, else in the user's cache folder."""
    if settings.cache.dir:
        return Path(settings.cache.dir).expanduser().absolute() / "index"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "mmfs" / "index"


class Held:
    """A directory that stays where it is until it is released.

    Attributes:
        path: The directory.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def shared(self, path: Path) -> Held:
        """From now on others may hold it too, under this name."""
        assert self._descriptor is not None
        os.replace(self.path, path)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        self.path = path
        return self

    def release(self) -> None:
        """Let go of it. Does nothing the second time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class BuildCache:
    """Builds of one store.

    Args:
        root: The folder for all stores.
        url: The store.
    """

    def __init__(self, root: Path, url: str) -> None:
        self._root = root
        self._folder = root / digest(url)[:16]

    def hold(self, space: str, build_id: str, fetch: Callable[[Path], None]) -> Held:
        """The directory of a build, held for reading.

        Args:
            fetch: Fills an empty directory with the build, if it is not here yet.

        Raises:
            SearchError: The folder cannot be written.
        """
        path = self._folder / space / build_id
        while (held := _lock(path, fcntl.LOCK_SH)) is None:
            with _writing(path), self._turn(space):
                if not path.is_dir():
                    making = self.making(space)
                    try:
                        fetch(making.path)
                    except BaseException:
                        self.drop(making)
                        raise
                    return self.keep(making, space, build_id)
        with suppress(OSError):  # of another user, or removed just now: its age matters to nobody who holds it
            os.utime(path)
        return held

    def making(self, space: str) -> Held:
        """A new directory for a build that is fetched or made, held by nobody else until it is kept or dropped."""
        path = self._folder / space / f".making-{uuid.uuid4().hex}"
        with _writing(path):
            path.mkdir(parents=True)
        held = _lock(path, fcntl.LOCK_EX)
        assert held is not None
        return held

    def keep(self, making: Held, space: str, build_id: str) -> Held:
        """Let a directory that is complete be the build; others of its space that nobody reads are removed.

        Raises:
            OSError: The disk does not let it; the directory is dropped.
        """
        path = self._folder / space / build_id
        try:
            held = making.shared(path)
        except OSError:  # another process was faster
            self.drop(making)
            found = _lock(path, fcntl.LOCK_SH)
            if found is None:
                raise
            return found
        with suppress(OSError):  # what is left is removed another time
            self._sweep(path)
        return held

    def drop(self, held: Held) -> None:
        """Remove a directory that is held."""
        shutil.rmtree(held.path, ignore_errors=True)
        held.release()

    def forget(self, space: str, build_id: str) -> None:
        """Remove a build that turned out to be damaged, whoever reads it."""
        _remove(self._folder / space / build_id)

    def _sweep(self, kept: Path) -> None:
        now = time.time()
        for path in self._root.glob("*/*/*"):
            with suppress(OSError):
                if path == kept or not path.is_dir():
                    continue
                age_s = now - path.stat().st_mtime
                is_made = path.name.startswith(".")
                replaced = path.parent == kept.parent and not is_made
                if replaced or age_s > (_UNTOUCHED_S if is_made else _UNUSED_DAYS * 86_400):
                    unused = _lock(path, fcntl.LOCK_EX, waits=False)
                    if unused is not None:
                        _remove(path)
                        unused.release()

    @contextmanager
    def _turn(self, space: str) -> Iterator[None]:
        """One fetches while others wait; after a while they do not."""
        (self._folder / space).mkdir(parents=True, exist_ok=True)
        until_s = time.monotonic() + _PATIENCE_S
        descriptor = os.open(self._folder / space / ".fetching", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while time.monotonic() < until_s:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_POLL_S)
            yield
        finally:
            os.close(descriptor)


def _lock(path: Path, how: int, *, waits: bool = True) -> Held | None:
    """The directory, locked; None where there is none, or another holds it and ``waits`` is False."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return Held(path, descriptor)
        except FileNotFoundError:
            pass  # removed between opening and locking
        except BlockingIOError:
            if not waits:
                os.close(descriptor)
                return None
            time.sleep(_POLL_S)
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Out of the way in one step, then gone."""
    gone = path.with_name(f".gone-{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        os.replace(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SearchError(
            f"the copy of an index build cannot be written: {error.strerror or error}",
            where=str(path),
            mend="free space, or name a folder that can be written with MMFS_CACHE__DIR",
        ) from error
