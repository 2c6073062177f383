"""Rows of one table that belong to rows of another: the same place where keys are equal, else found by key.

Tables of one grain that cover the same rows line up, so the row is guessed from the place and proved by comparing keys.
A shard where the guess cannot hold (other row counts) or does not (other keys) gets a map, made once by merging sorted
keys. Coarser tables always have a map: to the first of a media's rows, and how many there are.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Records, keys_in
from mmfs.loader.scratch import ScratchArray
from mmfs.schemas import Grain
from mmfs.store.keys import Int64s, Keys

Mask = npt.NDArray[np.bool_]

_SPAN = np.dtype([("first", "<i8"), ("count", "<i8")])


class Join:
    """From rows of the base table to rows of another.

    Args:
        base, base_grain: The table whose rows are samples.
        table, grain: The other one: of the same grain, or coarser.
        folder: Where maps are kept; None: the system's temporary folder.
    """

    def __init__(
        self, base: RandomRows, base_grain: Grain, table: RandomRows, grain: Grain, folder: Path | None
    ) -> None:
        self.table = table
        self.grain = grain
        self._base = base
        self._is_same = grain == base_grain
        files = [table.shards.get(shard, -1) for shard in base.shards]
        self._file = np.array(files, np.int64)
        there = self._file >= 0
        first = np.where(there, table.first_row[self._file], 0)
        rows = np.where(there, table.first_row[self._file + 1] - first, 0)
        #: Shards whose rows are guessed by place, and how far apart they lie in the two tables.
        self._lines_up = there & (rows == np.diff(base.first_row)) & self._is_same
        self._shift = first - base.first_row[:-1]
        self._mapped = ~there  # a shard without a file has nothing to map
        self._map = ScratchArray(int(base.first_row[-1]), _SPAN, folder)
        self._lock = threading.Lock()

    def one(self, rows: Int64s, keys: Keys, draw: Int64s | None = None) -> tuple[Records, Mask, Int64s]:
        """One record for each base row, whether there is one, and its row; absent records are zeros.

        Args:
            rows: Base rows [n].
            keys: Their keys.
            draw: Numbers [n] that choose among several rows of a media; None: the first.
        """
        while True:
            first, count, guessed = self._locate(rows)
            there = count > 0
            if draw is not None:
                first = first + draw % np.maximum(count, 1)
            records = np.zeros(len(rows), self.table.dtype)
            if there.any():
                records[there] = self.table.take(first[there])
            wrong = there & ~self._same_key(records, keys)
            if not wrong.any():
                return records, there, np.where(there, first, 0)
            if not guessed[wrong].all():
                raise IntegrityError(
                    f"rows of {self.table.name} are not where their keys say",
                    mend="run `mmfs verify --deep`, do what it says, and pin again",
                )
            self._lines_up[np.unique(self._base.file_of(rows[wrong]))] = False

    def several(self, rows: Int64s) -> tuple[Records, Int64s]:
        """All records of each base row's media, one after the other, and how many each has, int64 [n]."""
        first, count, _ = self._locate(rows)
        starts = np.cumsum(count) - count
        each = np.arange(int(count.sum()), dtype=np.int64) + np.repeat(first - starts, count)
        return (self.table.take(each) if each.size else np.zeros(0, self.table.dtype)), count

    def _same_key(self, records: Records, keys: Keys) -> Mask:
        found = keys_in(records, self.grain)
        same: Mask = found.media == keys.media
        if self._is_same and keys.index is not None:
            same &= found.index == keys.index
        return same

    def _locate(self, rows: Int64s) -> tuple[Int64s, Int64s, Mask]:
        """First row in the other table and how many, for base rows; and which of them were guessed by place."""
        files = self._base.file_of(rows)
        by_place = self._lines_up[files]
        if by_place.all():
            return rows + self._shift[files], np.ones(len(rows), np.int64), by_place
        for number in np.unique(files[~by_place & ~self._mapped[files]]).tolist():
            self._make_map(number)
        spans = self._map.take(rows)
        first = np.where(by_place, rows + self._shift[files], spans["first"])
        return first, np.where(by_place, 1, spans["count"]), by_place

    def _make_map(self, number: int) -> None:
        with self._lock:
            if self._mapped[number]:
                return
            keys = self._base.keys_of_file(number)
            theirs = self.table.keys_of_file(int(self._file[number]))
            spans = np.zeros(len(keys), _SPAN)
            if self._is_same:
                at = keys.locate_in(theirs)
                first, spans["count"] = np.maximum(at, 0), at >= 0
            else:
                first, spans["count"] = keys.media_rows_in(theirs.media)
            spans["first"] = first + self.table.first_row[self._file[number]]
            self._map.fill(int(self._base.first_row[number]), spans)
            self._mapped[number] = True
