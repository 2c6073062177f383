"""Packs on this machine, kept open: opening one costs as much as reading from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from mmfs.errors import StoreError, UnreachableError
from mmfs.loader.cache.open_files import most_open_files
from mmfs.store.objects import Objects, missing


class PackFiles:
    """Reads packs by number. Not mapped into memory: a pack that is cut short would end the process.

    Args:
        objects: The store's objects, on this machine.
        packs: Their names.
    """

    def __init__(self, objects: Objects, packs: Sequence[str]) -> None:
        self._objects = objects
        self._packs = packs
        self._most = most_open_files()
        self._open: dict[int, _PackFile] = {}
        self._lock = threading.Lock()

    def read(self, pack: int, offset: int, length: int) -> bytes:
        """The bytes there are at a range.

        Raises:
            MissingObjectError: The pack is gone.
            UnreachableError: It cannot be opened.
            StoreError: These bytes of it cannot be read.
        """
        file = self._open.get(pack) or self._opened(pack)
        try:
            return os.pread(file.fd, length, offset)
        except OSError as error:
            raise StoreError(
                f"cannot read {self._packs[pack]}: {error.strerror}",
                where=self._objects.url,
                mend="check the disk, and run `mmfs verify --deep`",
            ) from error

    def _opened(self, pack: int) -> _PackFile:
        path = self._packs[pack]
        try:
            file = _PackFile(os.open(str(self._objects.local_path(path)), os.O_RDONLY))
        except FileNotFoundError as error:
            raise missing(path, self._objects.url) from error
        except OSError as error:
            raise UnreachableError(
                f"cannot open {path}: {error.strerror}",
                where=self._objects.url,
                mend="check permissions of the store, and how many files a process may open (ulimit -n)",
            ) from error
        with self._lock:
            self._open[pack] = file
            if len(self._open) > self._most:
                del self._open[next(iter(self._open))]  # closed when its last reader is done
        return file


class _PackFile:
    """A descriptor that is closed when nobody refers to it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)
