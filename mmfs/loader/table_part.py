"""One table's part of a batch: which of its rows belong to the samples, and what they fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.loader.buffers import BufferPool
from mmfs.loader.cache.pack_cache import CachedFetcher
from mmfs.loader.contents import Contents
from mmfs.loader.fetch import Bad, Fetcher, Place
from mmfs.loader.join import Join
from mmfs.loader.live_inputs import ABSENT, input_values
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Records
from mmfs.loader.rooms import Rooms, Slot
from mmfs.store.keys import Int64s, Keys
from mmfs.store.pin import LiveInput, PinnedColumn

Mask = npt.NDArray[np.bool_]
#: A sample's number, the column, and why it cannot be delivered.
BadPlace = tuple[int, str, Bad]

#: Of a value that was there when the pin was made.
_NO_VALUE = Bad("the pinned row has no value")


@dataclass(frozen=True)
class BaseRows:
    """Rows of the table whose rows are samples.

    Attributes:
        rows: Row numbers [n, T].
        records: Their records [n * T].
        keys: Their keys [n * T].
        heads: Keys of the first row of each sample [n].
        draws: Numbers [n] that choose one of several rows; None: the first.
        wider: For some of the samples, by number: the rows of all samples of their blocks, and the block of each.
    """

    rows: Int64s
    records: Records
    keys: Keys
    heads: Keys
    draws: Int64s | None
    wider: Callable[[Sequence[int]], tuple[BaseRows, Int64s]]


@dataclass(frozen=True)
class _Found:
    """Records for base rows: which of them exist, their rows, and, where a sample has several, how many."""

    records: Records
    there: Mask
    rows: Int64s
    counts: Int64s | None = None


@dataclass(frozen=True)
class TablePart:
    """A table's share of a sample.

    Attributes:
        rows: Its rows.
        join: How they are found; None: they are the base rows.
        fetcher: Reads its blobs.
        columns: The columns asked for.
        inputs: What live columns are computed from.
        each: Rows of a sample: T of a window, 1 of a coarser table.
        is_coarser: Whether a sample has one value, window or not.
        gives_all: Whether a sample has all rows of its media.
    """

    rows: RandomRows
    join: Join | None
    fetcher: Fetcher
    columns: Sequence[tuple[Slot, PinnedColumn]]
    inputs: Sequence[tuple[LiveInput, PinnedColumn]]
    each: int
    is_coarser: bool
    gives_all: bool

    def fill(self, rooms: Rooms, places: Int64s, base: BaseRows) -> list[BadPlace]:
        """Put the values of samples at their places in the batch; which of them, by number, cannot be delivered."""
        flat = places if self.each == 1 else (places[:, None] * self.each + np.arange(self.each)).reshape(-1)
        found = self._find(base)
        nearby = partial(self._nearby, base, found) if self.fetcher.is_shared and found.counts is None else None
        contents = Contents(self.fetcher, self.rows.text, is_shared=bool(self.inputs), nearby=nearby)
        bad = []
        for slot, source in self.columns:
            bad += self._fill_column(rooms, places if self.gives_all else flat, slot, source, found, contents)
        for one, source in self.inputs:
            bad += self._fill_input(rooms, flat, one, source, found, contents)
        return bad

    def prefetch(self, base: BaseRows, *, waits: bool) -> bool:
        """Bring what samples have to the node's disk; False if others are at it and that is not waited for."""
        found = self._find(base)
        if self._blob is None or not isinstance(self.fetcher, CachedFetcher):
            return True
        has = found.there & found.records[f"{self._blob}?"]
        return self.fetcher.prefetch(found.records[self._blob][has].tolist(), waits=waits)

    @property
    def _blob(self) -> str | None:
        """The column whose bytes lie in packs, if that was asked for; a table has one at most."""
        sources = (source for _, source in (*self.columns, *self.inputs))
        return next((source.field for source in sources if source.kind == "blob"), None)

    def _nearby(self, base: BaseRows, found: _Found, missing: Sequence[Place]) -> dict[int, list[Place]]:
        """Where the blobs of the blocks lie that missing ones belong to."""
        wanted = set(missing)
        places = enumerate(found.records[self._blob].tolist())
        wider, blocks = base.wider(sorted({number // self.each for number, place in places if place in wanted}))
        found = self._find(wider)
        has = found.there & found.records[f"{self._blob}?"]
        nearby: dict[int, list[Place]] = {}
        owners = np.repeat(blocks, self.each)[has].tolist()
        for block, place in zip(owners, found.records[self._blob][has].tolist(), strict=True):
            nearby.setdefault(block, []).append(place)
        return nearby

    def _find(self, base: BaseRows) -> _Found:
        if self.join is None:
            return _Found(base.records, np.ones(len(base.records), np.bool_), base.rows.reshape(-1))
        if not self.is_coarser:
            return _Found(*self.join.one(base.rows.reshape(-1), base.keys))
        if self.gives_all:
            records, counts = self.join.several(base.rows[:, 0])
            return _Found(records, np.ones(len(records), np.bool_), base.rows[:0, 0], counts)
        return _Found(*self.join.one(base.rows[:, 0], base.heads, base.draws))

    def _fill_column(
        self, rooms: Rooms, places: Int64s, slot: Slot, source: PinnedColumn, found: _Found, contents: Contents
    ) -> list[BadPlace]:
        has = found.there & found.records[f"{source.field}?"]
        room, values = rooms.values[slot.name], found.records[source.field]
        if found.counts is not None:
            flat = slot.column.room(len(values), BufferPool(0), rooms.size)
            failed = _fill_all(room, flat, places, slot, values, has, found.counts, contents)
            has = np.array([bool(part.all()) and len(part) > 0 for part in _split(has, found.counts)], np.bool_)
        else:
            failed = slot.column.fill(room, places, values, has, contents)
        bad = [(number // self.each, slot.name, why) for number, why in failed]
        if slot.name in rooms.present:
            rooms.present[slot.name][places] = has
            return bad
        gaps = np.unique(np.flatnonzero(~has) // self.each).tolist()
        return bad + [(number, slot.name, _NO_VALUE) for number in gaps]

    def _fill_input(
        self, rooms: Rooms, places: Int64s, one: LiveInput, source: PinnedColumn, found: _Found, contents: Contents
    ) -> list[BadPlace]:
        records = found.records
        if one.is_previous:
            records = records.copy()
            records[found.there] = self.rows.previous(found.rows[found.there], records[found.there])
        values = input_values(source, records, found.there, contents)
        for place, value in zip(places.tolist(), values, strict=True):
            rooms.inputs[one.name][place] = value
        bad = [(number // self.each, one.name, value) for number, value in enumerate(values) if isinstance(value, Bad)]
        if rooms.present:
            return bad
        return bad + [
            (number // self.each, one.name, _NO_VALUE) for number, value in enumerate(values) if value is ABSENT
        ]


def _fill_all(
    room: list[object],
    flat: Any,
    places: Int64s,
    slot: Slot,
    values: Records,
    there: Mask,
    counts: Int64s,
    contents: Contents,
) -> list[tuple[int, Bad]]:
    """Fill each sample's place with all its values, by way of ``flat``, which has room for those of all samples."""
    failed = slot.column.fill(flat, np.arange(len(values)), values, there, contents)
    ends = np.cumsum(counts)
    for place, end, count in zip(places.tolist(), ends.tolist(), counts.tolist(), strict=True):
        room[place] = slot.column.several(flat[end - count : end])
    return [(int(np.searchsorted(ends, number, side="right")), why) for number, why in failed]


def _split(values: Mask, counts: Int64s) -> list[Mask]:
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []
