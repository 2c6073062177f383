"""Row keys as NumPy arrays: comparing, locating and broadcasting without a Python object a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.errors import IntegrityError
from mmfs.schemas import GRAIN_KEYS, Grain
from mmfs.store.arrays import as_numpy

Int64s = npt.NDArray[np.int64]
Ids = npt.NDArray[np.bytes_]

ID_LENGTH = 32  #: Characters of a media id.


def key_columns(grain: Grain) -> list[str]:
    """Names of the columns that identify a row of a grain."""
    return [column.name for column in GRAIN_KEYS[grain]]


@dataclass(frozen=True)
class Keys:
    """Keys of rows in canonical order.

    Attributes:
        media: Media ids, S32 [n].
        index: Index in the media, int64 [n]; None at the grain of media.
    """

    media: Ids
    index: Int64s | None

    @classmethod
    def of(cls, rows: pa.Table, grain: Grain) -> Keys:
        """The keys of rows that hold the grain's key columns.

        Raises:
            IntegrityError: A media id is not 32 characters long.
        """
        names = key_columns(grain)
        index = as_numpy(rows.column(names[1])).astype(np.int64, copy=False) if len(names) > 1 else None
        return cls(media_ids(rows.column(names[0])), index)

    def __len__(self) -> int:
        return len(self.media)

    def at(self, rows: Int64s | npt.NDArray[np.bool_]) -> Keys:
        """The keys at these row numbers, or where a mask is True."""
        return Keys(self.media[rows], None if self.index is None else self.index[rows])

    def equals(self, other: Keys) -> bool:
        """Whether both hold the same keys in the same order."""
        if len(self) != len(other) or not np.array_equal(self.media, other.media):
            return False
        if self.index is None or other.index is None:
            return self.index is other.index
        return np.array_equal(self.index, other.index)

    def locate_in(self, table: Keys) -> Int64s:
        """Row of ``table`` (sorted) that has each of these keys, int64 [n]; -1 where none has.

        >>> ids = np.array([b"a" * 32, b"b" * 32])
        >>> Keys(ids, np.array([1, 2])).locate_in(Keys(ids, np.array([1, 3]))).tolist()
        [0, -1]
        """
        if self.equals(table):
            return np.arange(len(self), dtype=np.int64)
        if len(table) == 0:
            return np.full(len(self), -1, np.int64)
        known = np.unique(table.media)
        wanted = np.minimum(np.searchsorted(known, self.media), len(known) - 1)
        absent = known[wanted] != self.media
        if self.index is None or table.index is None:
            mine, theirs = wanted, np.searchsorted(known, table.media)
        else:
            # One integer orders (media, index) pairs as the table does.
            width = int(max(self.index.max(initial=0), table.index.max(initial=0))) + 1
            mine = wanted * width + self.index
            theirs = np.searchsorted(known, table.media) * width + table.index
        rows = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
        return np.where(absent | (theirs[rows] != mine), -1, rows).astype(np.int64)

    def media_rows_in(self, media: Ids) -> tuple[Int64s, Int64s]:
        """First row and number of rows of each of these media in a sorted column of media ids."""
        first = np.searchsorted(media, self.media, side="left")
        return first.astype(np.int64), (np.searchsorted(media, self.media, side="right") - first).astype(np.int64)

    def names(self) -> list[str]:
        """Keys as people see them: ``<media_id>:<index>``."""
        media = [text.decode() for text in self.media.tolist()]
        if self.index is None:
            return media
        return [f"{text}:{index}" for text, index in zip(media, self.index.tolist(), strict=True)]

    def content(self) -> bytes:
        """The keys as bytes, to be hashed."""
        head = len(self).to_bytes(8, "little") + self.media.tobytes()
        return head if self.index is None else head + self.index.astype("<i8").tobytes()


def media_ids(column: pa.ChunkedArray | pa.Array) -> Ids:
    """A string column of media ids as S32 [n], without copying a single chunk.

    Raises:
        IntegrityError: A value is null or not 32 characters long.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [_chunk_ids(chunk) for chunk in chunks if len(chunk)]
    if not parts:
        return np.zeros(0, f"S{ID_LENGTH}")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _chunk_ids(chunk: pa.Array) -> Ids:
    offsets = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, chunk.offset * 4)
    if chunk.null_count or not (np.diff(offsets) == ID_LENGTH).all():
        raise IntegrityError(
            f"a media id is not {ID_LENGTH} characters long", mend="run `mmfs verify`; ids come from `mmfs ingest`"
        )
    return np.frombuffer(chunk.buffers()[2], f"S{ID_LENGTH}", len(chunk), int(offsets[0]))
