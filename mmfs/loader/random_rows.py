"""Any rows of a pinned table, at the cost of an array look-up.

The Parquet files are the truth. The first touch of a row group copies the asked columns, as fixed-width records, into
a scratch file; from then on a row is one look-up, wherever it lies. No Delta log is read: the pin names the files.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IntegrityError
from mmfs.loader.records import Field, keys_in, record_dtype, records_of
from mmfs.loader.scratch import ScratchArray, ScratchHeap
from mmfs.schemas import ROW_GROUP_ROWS, Grain
from mmfs.store.keys import Int64s, Keys, key_columns
from mmfs.store.objects import Objects
from mmfs.store.parquet import read_parquet
from mmfs.store.pin import PinnedTable

Records = npt.NDArray[np.void]

_LOCKS = 16
_FOOTERS = 512


class RandomRows:
    """Rows of one pinned table by number, counted through all its files in order.

    Args:
        objects: The store's objects.
        name, table: The pinned table.
        grain: Its grain, which gives its keys.
        fields: What to read besides the keys. Nothing else costs a byte.
        folder: Where scratch files go; None: the system's temporary folder.

    Attributes:
        first_row: Number of the first row of each file; one longer than the files.
        shards: Number of the file of each shard.
        dtype: Of the records.
    """

    def __init__(
        self,
        objects: Objects,
        name: str,
        table: PinnedTable,
        *,
        grain: Grain,
        fields: Sequence[Field],
        folder: Path | None,
    ) -> None:
        self.name = name
        self._objects = objects
        self._grain = grain
        self._fields = tuple(fields)
        self._files = table.files
        self._packs = {path: number for number, path in enumerate(table.packs)}
        self._columns = [*key_columns(grain), *dict.fromkeys(name for field in fields for name in field.stored)]
        sizes = np.array([file.rows for file in table.files], np.int64)
        self.first_row = _prefix(sizes)
        self.shards = {file.shard: number for number, file in enumerate(table.files)}
        self._first_group = _prefix(-(-sizes // ROW_GROUP_ROWS))
        self._filled = np.zeros(int(self._first_group[-1]), np.bool_)
        self.dtype = record_dtype(grain, fields)
        self._records = ScratchArray(int(self.first_row[-1]), self.dtype, folder)
        self._heap = ScratchHeap(folder) if any(field.kind == "text" for field in fields) else None
        self._heap_lock = threading.Lock()
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._footers: OrderedDict[int, pq.FileMetaData] = OrderedDict()
        self._footers_lock = threading.Lock()

    def file_of(self, rows: Int64s) -> Int64s:
        """Number of the file that holds each row."""
        return np.searchsorted(self.first_row, rows, side="right") - 1

    def take(self, rows: Int64s) -> Records:
        """A copy of the records of these rows (`record_dtype`).

        Raises:
            StoreError: A file is gone.
            IntegrityError: A file is damaged.
        """
        files = self.file_of(rows)
        groups = self._first_group[files] + (rows - self.first_row[files]) // ROW_GROUP_ROWS
        missing = np.flatnonzero(~self._filled[groups])
        if missing.size:
            wanted, first = np.unique(groups[missing], return_index=True)
            owners = files[missing][first]
            for number in np.unique(owners).tolist():
                self._fill(number, wanted[owners == number] - self._first_group[number])
        return self._records.take(rows)

    def previous(self, rows: Int64s, records: Records) -> Records:
        """For each of these rows and its record, the record of the row before in the same media; its own where none is.

        Raises:
            StoreError: A file is gone.
            IntegrityError: A file is damaged.
        """
        found = self.take(np.maximum(rows - 1, self.first_row[self.file_of(rows)]))
        is_other = keys_in(found, self._grain).media != keys_in(records, self._grain).media
        found[is_other] = records[is_other]
        return found

    def keys_of_file(self, number: int) -> Keys:
        """All keys of one file, read anew."""
        rows = read_parquet(self._objects, self._files[number].path, key_columns(self._grain))
        return Keys.of(rows, self._grain)

    def text(self, offset: int, length: int) -> str:
        """A text that a record points to."""
        assert self._heap is not None
        return self._heap.read(offset, length).decode()

    def _fill(self, number: int, groups: Int64s) -> None:
        with self._locks[number % _LOCKS]:
            first_group = int(self._first_group[number])
            groups = groups[~self._filled[first_group + groups]]
            if not groups.size:
                return
            path = self._files[number].path
            with self._objects.open_file(path) as file:
                try:
                    parquet = self._open(number, file)
                    rows = parquet.read_row_groups(groups.tolist(), columns=self._columns, use_threads=False)
                except (pa.ArrowException, OSError) as error:
                    raise self._damaged(path, str(error)) from error
            start = 0
            for group in groups.tolist():
                length = min(ROW_GROUP_ROWS, self._files[number].rows - group * ROW_GROUP_ROWS)
                part = rows.slice(start, length)
                start += length
                first = int(self.first_row[number]) + group * ROW_GROUP_ROWS
                self._records.fill(first, records_of(part, self._grain, self._fields, self._packs, self._append, path))
                self._filled[first_group + group] = True

    def _open(self, number: int, file: object) -> pq.ParquetFile:
        """The file with its footer, which is parsed once and checked against the pin."""
        with self._footers_lock:
            footer = self._footers.get(number)
        parquet = pq.ParquetFile(file, metadata=footer)
        if footer is not None:
            return parquet
        found, rows = parquet.metadata, self._files[number].rows
        full = [ROW_GROUP_ROWS] * (rows // ROW_GROUP_ROWS) + ([rows % ROW_GROUP_ROWS] if rows % ROW_GROUP_ROWS else [])
        if [found.row_group(group).num_rows for group in range(found.num_row_groups)] != full:
            raise self._damaged(self._files[number].path, f"its row groups are not {ROW_GROUP_ROWS} rows each")
        with self._footers_lock:
            self._footers[number] = found
            while len(self._footers) > _FOOTERS:
                self._footers.popitem(last=False)
        return parquet

    def _append(self, data: memoryview) -> int:
        assert self._heap is not None
        with self._heap_lock:
            return self._heap.append(data)

    def _damaged(self, path: str, reason: str) -> IntegrityError:
        return IntegrityError(
            f"{path} cannot be read: {reason.splitlines()[0]}",
            where=self._objects.url,
            mend="run `mmfs verify --deep`; materialize the shard and pin again",
        )


def _prefix(sizes: Int64s) -> Int64s:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)))
