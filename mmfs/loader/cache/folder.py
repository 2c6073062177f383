"""A folder of the node's disk, shared by the processes that train on it, and kept below a quota.

Everything in it can be made again, so nothing in it is ever waited for, and any file may be unlinked at any time: who
has it open goes on reading what he has. Files are written in place but proved by checksums, so that a crash, a torn
write and a flipped bit all look like something that was never there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmfs.errors import LoaderError
from mmfs.loader.cache.claims import Claims
from mmfs.loader.cache.open_files import OpenFiles

log = logging.getLogger("mmfs.loader")

#: What the cache's own files are called: a sweep touches no others, whatever folder somebody named.
ROWS, SMALL, RANGES, PART = ".rows", ".small", ".ranges", ".part"
#: A sweep goes down to this share of the quota, so that the next one is not due at once.
_SWEPT = 0.9
#: A process looks at the whole folder after it wrote this share of the quota, or this many bytes.
_SWEEP_SHARE, _SWEEP_BYTES = 16, 256 << 20
#: Left free for others.
_FREE_SHARE, _FREE_BYTES = 100, 1 << 30


class CacheFolder:
    """The folder.

    Args:
        root: Where it is; made if it is not there.
        quota_bytes: Disk it may use, as the file system counts it.

    Raises:
        LoaderError: It cannot be made or written.

    Attributes:
        rows, packs: Folders of table rows and of ranges of packs.
        claims: Who is fetching what.
    """

    def __init__(self, root: Path, quota_bytes: int) -> None:
        self.root = root
        self.rows, self.packs, locks = root / "rows", root / "packs", root / "locks"
        self._quota_bytes = quota_bytes
        try:
            for folder in (self.rows, self.packs, locks):
                folder.mkdir(parents=True, exist_ok=True)
            with (locks / "sweep").open("ab"):
                pass
        except OSError as error:
            raise LoaderError(
                f"the cache folder cannot be used: {error.strerror}",
                where=str(root),
                mend="name a folder that can be written with cache= or MMFS_CACHE__DIR",
            ) from error
        self.claims = Claims(locks)
        self._sweep_lock = locks / "sweep"
        self._written = 0
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[OpenFiles[Any]] = weakref.WeakSet()
        self.sweep()

    def open_files(self) -> OpenFiles[Any]:
        """A set of open files of this folder, which lets go of those that a sweep removed."""
        files: OpenFiles[Any] = OpenFiles()
        self._open.add(files)
        return files

    def add_written(self, count: int) -> None:
        """Say that so many bytes were written; from time to time this makes room."""
        with self._lock:
            self._written += count
            if self._written < min(_SWEEP_BYTES, self._quota_bytes // _SWEEP_SHARE):
                return
            self._written = 0
        self.sweep()

    def sweep(self) -> None:
        """Unlink what was used least recently until the folder is below its quota."""
        self._drop_removed()
        with suppress(OSError), self._sweep_lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # another process is at it otherwise
            self._evict()
        self._drop_removed()

    def _drop_removed(self) -> None:
        for files in list(self._open):
            files.drop_removed()

    def _evict(self) -> None:
        found = []
        for folder in (self.rows, self.packs):
            for entry in os.scandir(folder):
                if not entry.name.endswith((ROWS, SMALL, RANGES, PART)):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_blocks * 512, entry.path))
        used = sum(size for _, size, _ in found)
        limit = min(self._quota_bytes, used + self._room_bytes())
        if used <= limit:
            return
        for _, size, path in sorted(found):
            if used <= limit * _SWEPT:
                return
            Path(path).unlink(missing_ok=True)
            used -= size

    def _room_bytes(self) -> int:
        """Bytes that may still be written to the disk; negative where others need some back."""
        disk = os.statvfs(self.root)
        reserve = min(_FREE_BYTES, disk.f_blocks * disk.f_frsize // _FREE_SHARE)
        return disk.f_bavail * disk.f_frsize - reserve
