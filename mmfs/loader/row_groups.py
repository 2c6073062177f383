"""Row groups of a pinned table's Parquet files as records: exactly the asked column chunks are read, nothing else.

Footers and keys are asked for by every process of a node, so with a cache folder their bytes are kept there.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IntegrityError, LoaderError, MissingObjectError, UnreachableError
from mmfs.loader.cache.small_files import SmallFiles
from mmfs.loader.records import Field, Records, record_dtype, records_of
from mmfs.schemas import ROW_GROUP_ROWS, Grain
from mmfs.store.keys import Int64s, Keys, key_columns
from mmfs.store.objects import Objects
from mmfs.store.pin import PinnedTable
from mmfs.store.ranges import Range, merge_ranges

_FOOTERS = 512
#: Read at the end of a file, where the footer is: enough for most.
_TAIL_BYTES = 16 * 1024
#: Between column chunks: other columns, which nobody asked for.
_GAP_BYTES = 8 * 1024
_LONGEST_BYTES = 1 << 40


@dataclass(frozen=True)
class GroupRows:
    """One row group.

    Attributes:
        records: Its rows (`record_dtype`); a text's offset counts from the beginning of ``texts``.
        texts: The texts of all its rows.
    """

    records: Records
    texts: bytes


class RowGroups:
    """Row groups of one pinned table.

    Args:
        objects: The store's objects.
        table: The pinned table.
        grain: Its grain, which gives its keys.
        fields: What to read besides the keys. Nothing else costs a byte.
        kept: Where footers and keys are kept for the node; None: nowhere.

    Attributes:
        first_row: Number of the first row of each file; one longer than the files.
        first_group: Number of the first row group of each file; likewise.
        dtype: Of the records.
        bytes_fetched: Bytes read from the store so far.
    """

    def __init__(
        self,
        objects: Objects,
        table: PinnedTable,
        *,
        grain: Grain,
        fields: Sequence[Field],
        kept: SmallFiles | None = None,
    ) -> None:
        self.grain = grain
        self.fields = tuple(fields)
        self.files = table.files
        self.url = objects.url
        self._objects = objects
        self._kept = kept
        self._packs = {path: number for number, path in enumerate(table.packs)}
        self._columns = [*key_columns(grain), *dict.fromkeys(name for field in fields for name in field.stored)]
        sizes = np.array([file.rows for file in table.files], np.int64)
        self.first_row = _prefix(sizes)
        self.first_group = _prefix(-(-sizes // ROW_GROUP_ROWS))
        self.dtype = record_dtype(grain, fields)
        self.bytes_fetched = 0
        self._footers: OrderedDict[int, pq.FileMetaData] = OrderedDict()
        self._lock = threading.Lock()

    def file_of(self, rows: Int64s) -> Int64s:
        """Number of the file that holds each row."""
        return np.searchsorted(self.first_row, rows, side="right") - 1

    def read(self, number: int, groups: Sequence[int]) -> list[GroupRows]:
        """Row groups of one file.

        Raises:
            LoaderError: The file is gone, or cannot be reached.
            IntegrityError: The file is damaged.
        """
        rows = self._rows(number, groups, self._columns, keep=False)
        found, start, path = [], 0, self.files[number].path
        for group in groups:
            length = min(ROW_GROUP_ROWS, self.files[number].rows - group * ROW_GROUP_ROWS)
            texts = bytearray()
            records = records_of(
                rows.slice(start, length), self.grain, self.fields, self._packs, _appender(texts), path
            )
            found.append(GroupRows(records, bytes(texts)))
            start += length
        return found

    def keys(self, number: int) -> Keys:
        """All keys of one file, read anew."""
        groups = range(int(self.first_group[number + 1] - self.first_group[number]))
        return Keys.of(self._rows(number, groups, key_columns(self.grain), keep=True), self.grain)

    def _rows(self, number: int, groups: Sequence[int], columns: Sequence[str], *, keep: bool) -> pa.Table:
        file = self.files[number]
        try:
            footer = self._footer(number)
            ranges = _chunks(footer, groups, columns)
            parts = self._fetch(file.path, ranges, keep=keep)
            source = _Pieces(file.size_bytes, list(zip(ranges, parts, strict=True)))
            parquet = pq.ParquetFile(
                source,
                metadata=footer,
                pre_buffer=False,
                page_checksum_verification=True,
                read_dictionary=["pack"] if "pack" in footer.schema.names else None,
            )
            return parquet.read_row_groups(list(groups), columns=list(columns), use_threads=False)
        except pa.ArrowMemoryError as error:
            raise LoaderError(
                f"cannot read {file.path}: {str(error).splitlines()[0]}",
                where=self.url,
                mend="free memory; `mmfs verify --deep` says whether the file is damaged",
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(file.path, str(error)) from error

    def _fetch(self, path: str, ranges: Sequence[Range], *, keep: bool) -> list[bytes]:
        """Bytes of a file, from the node's cache where they are kept there."""
        key = f"{self.url}/{path}:{list(ranges)}"
        if keep and self._kept and (data := self._kept.get(key)) is not None:
            ends = np.cumsum([length for _, length in ranges]).tolist()
            return [data[end - length : end] for end, (_, length) in zip(ends, ranges, strict=True)]
        try:
            parts = self._objects.get_ranges(path, ranges, gap_bytes=_GAP_BYTES)
        except (MissingObjectError, UnreachableError) as error:
            raise LoaderError(
                f"{error.what}; it is a file of the pin" if isinstance(error, UnreachableError) else f"{path} is gone",
                where=self.url,
                mend=error.mend
                if isinstance(error, UnreachableError)
                else "restore it, or pin the newest versions; vacuum keeps what pins name, other tools may not",
            ) from error
        spans = merge_ranges(ranges, gap_bytes=_GAP_BYTES, most_bytes=_LONGEST_BYTES)
        with self._lock:
            self.bytes_fetched += sum(length for _, length in spans)
        if keep and self._kept:
            self._kept.put(key, b"".join(parts))
        return parts

    def _footer(self, number: int) -> pq.FileMetaData:
        """The footer, which is parsed once and checked against the pin."""
        with self._lock:
            if number in self._footers:
                return self._footers[number]
        file = self.files[number]
        length = min(_TAIL_BYTES, file.size_bytes)
        [tail] = self._fetch(file.path, [(file.size_bytes - length, length)], keep=True)
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if length < needed <= file.size_bytes:
            [rest] = self._fetch(file.path, [(file.size_bytes - needed, needed - length)], keep=True)
            tail = rest + tail
        footer = pq.read_metadata(pa.BufferReader(tail))
        full, rest_rows = divmod(file.rows, ROW_GROUP_ROWS)
        wanted = [ROW_GROUP_ROWS] * full + ([rest_rows] if rest_rows else [])
        if [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] != wanted:
            raise self._damaged(file.path, f"its row groups are not {ROW_GROUP_ROWS} rows each")
        with self._lock:
            self._footers[number] = footer
            while len(self._footers) > _FOOTERS:
                self._footers.popitem(last=False)
        return footer

    def _damaged(self, path: str, reason: str) -> IntegrityError:
        return IntegrityError(
            f"{path} cannot be read: {reason.splitlines()[0]}",
            where=self.url,
            mend="run `mmfs verify --deep`, do what it says, and pin again",
        )


def _appender(texts: bytearray) -> Callable[[memoryview], int]:
    def append(data: memoryview) -> int:
        start = len(texts)
        texts.extend(data)
        return start

    return append


def _chunks(footer: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str]) -> list[Range]:
    """Where the chunks of columns lie, in the order of the file."""
    names = set(columns)
    found = []
    for group in groups:
        rows = footer.row_group(group)
        for number in range(rows.num_columns):
            chunk = rows.column(number)
            if chunk.path_in_schema in names:
                starts = [at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at is not None]
                found.append((min(starts), chunk.total_compressed_size))
    return sorted(found)


class _Pieces(io.RawIOBase):
    """A file of which only some ranges are at hand."""

    def __init__(self, size: int, pieces: Sequence[tuple[Range, bytes]]) -> None:
        super().__init__()
        self._size, self._pieces, self._at = size, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        for (offset, length), data in self._pieces:
            if offset <= self._at < offset + length:
                found = data[self._at - offset : self._at - offset + size]
                self._at += len(found)
                return found
        return b""


def _prefix(sizes: Int64s) -> Int64s:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)))
