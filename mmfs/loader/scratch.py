"""Scratch space on disk that leaves nothing behind: files without a name, gone when closed, even by a crash."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError


class ScratchArray:
    """An array of records on disk that is filled piece by piece and read at random rows.

    It is sparse: what was never filled costs nothing. Pieces are written with ``pwrite``, so that a full disk is an
    error and not a signal; reads go through the page cache.
    """

    def __init__(self, rows: int, dtype: np.dtype[np.void], folder: Path | None) -> None:
        self._folder = folder
        self._width = dtype.itemsize
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="mmfs-", buffering=0)  # noqa: SIM115 - lives on
            self._file.truncate(max(1, rows) * self._width)
            mapped = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        except OSError as error:
            raise self._full(error) from error
        self._records: npt.NDArray[np.void] = np.frombuffer(mapped, dtype, rows)

    def fill(self, first: int, records: npt.NDArray[np.void]) -> None:
        """Write records at row ``first`` and after.

        Raises:
            LoaderError: The disk is full.
        """
        data, at = memoryview(records.tobytes()), first * self._width
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        except OSError as error:
            raise self._full(error) from error

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
        """A copy of the records at these rows."""
        return self._records[rows]

    def _full(self, error: OSError) -> LoaderError:
        return _no_space(self._folder, error)


class ScratchHeap:
    """Bytes of any length, appended and read back by offset."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="mmfs-", buffering=0)  # noqa: SIM115 - lives on
        except OSError as error:
            raise _no_space(folder, error) from error
        self._end = 0

    def append(self, data: memoryview) -> int:
        """Add bytes; the offset at which they begin. One thread at a time.

        Raises:
            LoaderError: The disk is full.
        """
        start = self._end
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, self._end)
                data, self._end = data[written:], self._end + written
        except OSError as error:
            raise _no_space(self._folder, error) from error
        return start

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at an offset."""
        return os.pread(self._file.fileno(), length, offset)


def _no_space(folder: Path | None, error: OSError) -> LoaderError:
    return LoaderError(
        f"cannot write the loader's scratch files: {error.strerror}",
        where=str(folder or tempfile.gettempdir()),
        mend="free space there, or name a larger disk with cache=",
    )
