"""Scratch space on disk that leaves nothing behind: files without a name, gone when closed, even by a crash."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError
from mmfs.loader.records import Field, Records
from mmfs.loader.row_groups import RowGroups
from mmfs.schemas import ROW_GROUP_ROWS
from mmfs.store.keys import Int64s

#: A text's address: number of its row group in the table, and its offset in that group's texts.
GROUP_SHIFT = 32

_LOCKS = 16
_FIRST_HEAP_BYTES = 1 << 16


class KeptRows(ABC):
    """Rows of a table where they can be taken at random."""

    @abstractmethod
    def take(self, rows: Int64s) -> Records:
        """A copy of the records of these rows; offsets of texts are addresses for `text`."""

    @abstractmethod
    def text(self, address: int, length: int) -> str:
        """A text that a record points to. Addresses are those of the table, wherever its rows are kept."""


class ScratchRows(KeptRows):
    """Rows in files of this process alone. A row group is read and decoded at its first touch.

    Args:
        groups: Reads them.
        folder: Where files go; None: the system's temporary folder.
    """

    def __init__(self, groups: RowGroups, folder: Path | None) -> None:
        self._groups = groups
        self._records = ScratchArray(int(groups.first_row[-1]), groups.dtype, folder)
        self._texts = text_fields(groups.fields)
        self._heap = ScratchHeap(folder) if self._texts else None
        self._filled = np.zeros(int(groups.first_group[-1]), np.bool_)
        self._texts_at = np.zeros(len(self._filled) if self._texts else 0, np.int64)
        self._heap_lock = threading.Lock()
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def take(self, rows: Int64s) -> Records:
        files = self._groups.file_of(rows)
        first_group, first_row = self._groups.first_group, self._groups.first_row
        groups = first_group[files] + (rows - first_row[files]) // ROW_GROUP_ROWS
        missing = np.flatnonzero(~self._filled[groups])
        if missing.size:
            wanted, first = np.unique(groups[missing], return_index=True)
            owners = files[missing][first]
            for number in np.unique(owners).tolist():
                self._fill(number, wanted[owners == number] - first_group[number])
        records = self._records.take(rows)
        for name in self._texts:
            records[name]["offset"] += groups << GROUP_SHIFT
        return records

    def text(self, address: int, length: int) -> str:
        assert self._heap is not None
        group = address >> GROUP_SHIFT
        if not self._filled[group]:  # the record was taken elsewhere, before rows came here
            number = int(self._groups.first_group.searchsorted(group, side="right")) - 1
            self._fill(number, np.array([group - self._groups.first_group[number]]))
        offset = int(self._texts_at[group]) + (address & ((1 << GROUP_SHIFT) - 1))
        return self._heap.read(offset, length).decode()

    def _fill(self, number: int, groups: Int64s) -> None:
        with self._locks[number % _LOCKS]:
            first_group, first_row = int(self._groups.first_group[number]), int(self._groups.first_row[number])
            missing = groups[~self._filled[first_group + groups]].tolist()
            if not missing:
                return
            for group, found in zip(missing, self._groups.read(number, missing), strict=True):
                self._records.fill(first_row + group * ROW_GROUP_ROWS, found.records)
                if self._heap is not None:
                    with self._heap_lock:
                        self._texts_at[first_group + group] = self._heap.append(found.texts)
                self._filled[first_group + group] = True


def text_fields(fields: Sequence[Field]) -> list[str]:
    """Names of the fields that are texts."""
    return [field.name for field in fields if field.kind == "text"]


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
            raise _no_space(self._folder, error) from error
        self._records: npt.NDArray[np.void] = np.frombuffer(mapped, dtype, rows)

    def fill(self, first: int, records: npt.NDArray[np.void]) -> None:
        """Write records at row ``first`` and after.

        Raises:
            LoaderError: The disk is full.
        """
        _write(self._file.fileno(), memoryview(records.tobytes()), first * self._width, self._folder)

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
        """A copy of the records at these rows."""
        return self._records[rows]


class ScratchHeap:
    """Bytes of any length, appended and read back by offset."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="mmfs-", buffering=0)  # noqa: SIM115 - lives on
        except OSError as error:
            raise _no_space(folder, error) from error
        self._end = 0
        self._map: mmap.mmap | bytes = b""

    def append(self, data: bytes) -> int:
        """Add bytes; the offset at which they begin. One thread at a time.

        Raises:
            LoaderError: The disk is full.
        """
        start = self._end
        _write(self._file.fileno(), memoryview(data), start, self._folder)
        self._end += len(data)
        if self._end > len(self._map):
            # Twice the size, sparse, so that the map is made anew seldom.
            self._file.truncate(max(_FIRST_HEAP_BYTES, 2 * self._end))
            self._map = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        return start

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at an offset."""
        return self._map[offset : offset + length]


def _write(descriptor: int, data: memoryview, at: int, folder: Path | None) -> None:
    try:
        while data:
            written = os.pwrite(descriptor, data, at)
            data, at = data[written:], at + written
    except OSError as error:
        raise _no_space(folder, error) from error


def _no_space(folder: Path | None, error: OSError) -> LoaderError:
    return LoaderError(
        f"cannot write the loader's scratch files: {error.strerror}",
        where=str(folder or tempfile.gettempdir()),
        mend="free space there, or name a larger disk with cache=",
    )
