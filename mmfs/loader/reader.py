"""Everything needed to read the samples of a pin: tables, joins, columns. No Delta log, no store; threads share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError
from mmfs.loader.buffers import BufferPool
from mmfs.loader.columns import BatchColumn, batch_column
from mmfs.loader.fetch import Bad, Fetcher
from mmfs.loader.join import Join
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Field, Records, keys_in
from mmfs.schemas import GRAIN_TABLES
from mmfs.store.keys import Ids, Int64s, Keys
from mmfs.store.objects import Objects
from mmfs.store.pin import Pin, PinnedColumn, Window
from mmfs.store.runs import selected_runs

Captions = Literal["first", "random", "all"]
Rooms = dict[str, Any]


@dataclass(frozen=True)
class ReadOptions:
    """How values are handed out; see `Loader` for each."""

    decode: bool = True
    image_size: int | None = 256
    captions: Captions = "first"
    verify: bool = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise LoaderError(f"image_size={self.image_size}", mend="give pixels, or None for stored sizes")
        if self.captions not in ("first", "random", "all"):
            raise LoaderError(f"captions={self.captions!r}", mend="choose first, random or all")


@dataclass(frozen=True)
class _Table:
    """A table's share of a sample: its columns, and how its rows are found (None: they are the base rows)."""

    join: Join | None
    is_coarser: bool
    columns: list[tuple[str, PinnedColumn, BatchColumn]]


class PinReader:
    """Reads samples of one pin by number.

    Args:
        objects: The store's objects.
        pin: The pin.
        options: How values are handed out.
        taken_down: Sorted media ids that must not be read any more.

    Attributes:
        places: Rows of a sample: T of a window, else 1.
    """

    def __init__(self, objects: Objects, pin: Pin, options: ReadOptions, taken_down: Ids | None = None) -> None:
        self._pin = pin
        self._options = options
        self._taken_down = taken_down
        window = pin.window or Window(frames=1)
        self.places = window.frames
        self._offsets = window.stride * np.arange(window.frames, dtype=np.int64)
        self._step = window.step if pin.window else 1
        self._fetchers: list[Fetcher] = []
        by_table: dict[str, dict[str, PinnedColumn]] = {}
        for name, source in pin.sources.items():
            by_table.setdefault(source.table, {})[name] = source
        base_name = GRAIN_TABLES[pin.grain]
        self._base = self._open(objects, base_name, list(by_table.get(base_name, {}).values()))
        self._tables = [self._table(objects, name, sources) for name, sources in by_table.items()]
        runs = selected_runs(objects, pin)
        self._run_ends = np.cumsum(runs.samples)
        self._run_rows = runs.first_row + self._base.first_row[runs.shard]

    @property
    def bytes_read(self) -> int:
        """Bytes of blobs read so far."""
        return sum(fetcher.bytes_read for fetcher in self._fetchers)

    def rooms(self, samples: int, pool: BufferPool) -> Rooms:
        """Room for a batch of samples, by column."""
        return {
            name: [None] * samples
            if self._gives_all(table)
            else column.room(samples if table.is_coarser else samples * self.places, pool)
            for table in self._tables
            for name, _, column in table.columns
        }

    def presence(self, samples: int) -> dict[str, npt.NDArray[np.bool_]]:
        """Room for the masks of a pin that keeps samples with missing values; empty for others."""
        if self._pin.missing != "null":
            return {}
        return {
            name: np.zeros(samples if table.is_coarser else samples * self.places, np.bool_)
            for table in self._tables
            for name, _, _ in table.columns
        }

    def fill(
        self, rooms: Rooms, presence: dict[str, npt.NDArray[np.bool_]], first: int, samples: Int64s, draws: Int64s
    ) -> tuple[list[str], list[tuple[int, str, Bad]]]:
        """Read samples into places ``first`` and after.

        Args:
            rooms, presence: From `rooms` and `presence`.
            samples: Sample numbers [n].
            draws: Numbers [n] that choose captions where that is asked for.

        Returns:
            Their keys, and for each that cannot be delivered: its number among ``samples``, the column, and why.
        """
        rows = self._rows_of(samples)
        flat = rows.reshape(-1)
        records = self._base.take(flat)
        keys = keys_in(records, self._pin.grain)
        heads = keys.at(np.arange(0, len(flat), self.places))
        bad = self._buried(heads)
        for table in self._tables:
            found, there, counts = self._rows_in(table, rows, records, keys, heads, draws)
            places = 1 if table.is_coarser else self.places
            for name, source, column in table.columns:
                has = there & found[f"{source.field}?"]
                values = found[source.field]
                if counts is not None:
                    bad += _fill_all(rooms[name], first, column, values, has, counts, name)
                    whole = np.array([bool(part.all()) and len(part) > 0 for part in _split(has, counts)], np.bool_)
                else:
                    failed = column.fill(rooms[name], first * places, values, has)
                    bad += [(place // places, name, why) for place, why in failed]
                    whole = has
                if name in presence:
                    presence[name][first * places : first * places + len(whole)] = whole
                else:
                    gaps = np.unique(np.flatnonzero(~whole) // places).tolist()
                    bad += [(place, name, Bad("the pinned row has no value")) for place in gaps]
        return heads.names(), bad

    def repeat(self, rooms: Rooms, presence: dict[str, npt.NDArray[np.bool_]], source: int, target: int) -> None:
        """Copy one sample of a batch over another."""
        for table in self._tables:
            places = 1 if table.is_coarser else self.places
            for name, _, _ in table.columns:
                for values in (rooms[name], presence.get(name)):
                    if values is not None:
                        for place in range(places):
                            values[target * places + place] = values[source * places + place]

    def values(self, rooms: Rooms, presence: dict[str, npt.NDArray[np.bool_]], samples: int) -> dict[str, Any]:
        """The batch's values, columns in the order of the pin, then the masks."""
        import torch

        found: dict[str, Any] = {}
        masks: dict[str, Any] = {}
        for table in self._tables:
            windowed = self._pin.window is not None and not table.is_coarser
            shape = (samples, self.places) if windowed else (samples,)
            for name, _, column in table.columns:
                found[name] = rooms[name] if self._gives_all(table) else column.value(rooms[name], shape)
                if name in presence:
                    masks[f"{name}:present"] = torch.from_numpy(presence[name]).reshape(shape)
        return {**{name: found[name] for name in self._pin.columns}, **masks}

    def keys(self, samples: Int64s) -> list[str]:
        """Keys of samples, as in ``batch["_key"]``."""
        return keys_in(self._base.take(self._rows_of(samples)[:, 0]), self._pin.grain).names()

    def samples_of(self, media_id: str, index: int | None) -> Int64s:
        """Numbers of the samples that contain a row (all rows of a media, without an index). Reads all keys."""
        found = []
        for number in range(len(self._base.first_row) - 1):
            keys = self._base.keys_of_file(number)
            mine = keys.media == media_id.encode()
            if index is not None and keys.index is not None:
                mine &= keys.index == index
            found.append(self._base.first_row[number] + np.flatnonzero(mine))
        rows = np.concatenate(found)
        samples = [self._sample_at(rows - offset) for offset in self._offsets]
        return np.unique(np.concatenate(samples))

    def _sample_at(self, rows: Int64s) -> Int64s:
        """Numbers of the samples that begin at these rows; rows at which none begins are left out."""
        run = np.searchsorted(self._run_rows, rows, side="right") - 1
        rows, run = rows[run >= 0], run[run >= 0]
        number, rest = np.divmod(rows - self._run_rows[run], self._step)
        first = np.concatenate(([0], self._run_ends))
        inside = (rest == 0) & (number < first[run + 1] - first[run])
        found: Int64s = (first[run] + number)[inside]
        return found

    def _rows_of(self, samples: Int64s) -> Int64s:
        """Base rows of samples, int64 [n, places]."""
        run = np.searchsorted(self._run_ends, samples, side="right")
        before = np.where(run > 0, self._run_ends[run - 1], 0)
        starts: Int64s = self._run_rows[run] + (samples - before) * self._step
        return starts[:, None] + self._offsets

    def _rows_in(
        self, table: _Table, rows: Int64s, records: Records, keys: Keys, heads: Keys, draws: Int64s
    ) -> tuple[Records, npt.NDArray[np.bool_], Int64s | None]:
        """A table's records for base rows, which of them exist, and, where a sample has several, how many."""
        if table.join is None:
            return records, np.ones(len(records), np.bool_), None
        if self._gives_all(table):
            several, counts = table.join.several(rows[:, 0])
            return several, np.ones(len(several), np.bool_), counts
        if table.is_coarser:
            draw = draws if self._options.captions == "random" else None
            return *table.join.one(rows[:, 0], heads, draw), None
        return *table.join.one(rows.reshape(-1), keys), None

    def _gives_all(self, table: _Table) -> bool:
        is_many = table.join is not None and table.is_coarser and table.join.grain != "media"
        return is_many and self._options.captions == "all"

    def _buried(self, heads: Keys) -> list[tuple[int, str, Bad]]:
        if self._taken_down is None:
            return []
        return [
            (place, "_key", Bad("its media was taken down"))
            for place in np.flatnonzero(np.isin(heads.media, self._taken_down)).tolist()
        ]

    def _open(self, objects: Objects, name: str, sources: Sequence[PinnedColumn]) -> RandomRows:
        grain = sources[0].grain if sources else self._pin.grain
        fields = list(dict.fromkeys(Field.of(source) for source in sources))
        return RandomRows(objects, name, self._pin.tables[name], grain=grain, fields=fields, folder=self._options.cache)

    def _table(self, objects: Objects, name: str, sources: dict[str, PinnedColumn]) -> _Table:
        grain = next(iter(sources.values())).grain
        is_base = name == GRAIN_TABLES[self._pin.grain]
        rows = self._base if is_base else self._open(objects, name, list(sources.values()))
        fetcher = Fetcher(objects, self._pin.tables[name].packs, verify=self._options.verify)
        self._fetchers.append(fetcher)
        columns = [
            (
                column,
                source,
                batch_column(
                    source,
                    fetcher=fetcher,
                    read_text=rows.text,
                    decode=self._options.decode,
                    size=self._options.image_size,
                ),
            )
            for column, source in sources.items()
        ]
        join = None if is_base else Join(self._base, self._pin.grain, rows, grain, self._options.cache)
        return _Table(join, grain != self._pin.grain, columns)


def _split(values: Any, counts: Int64s) -> list[Any]:
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def _fill_all(
    room: list[Any],
    first: int,
    column: BatchColumn,
    values: Records,
    there: npt.NDArray[np.bool_],
    counts: Int64s,
    name: str,
) -> list[tuple[int, str, Bad]]:
    """Fill each sample's place with all its values."""
    flat = column.room(len(values), BufferPool(0))
    failed = column.fill(flat, 0, values, there)
    ends = np.cumsum(counts)
    for place, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
        room[first + place] = column.value(flat[end - count : end], (count,))
    return [(int(np.searchsorted(ends, place, side="right")), name, why) for place, why in failed]
