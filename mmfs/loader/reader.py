"""Everything needed to read the samples of a pin: tables, joins, columns. No Delta log, no store; threads share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mmfs.errors import LoaderError
from mmfs.loader.columns import Size
from mmfs.loader.fetch import Bad, Fetcher
from mmfs.loader.join import Join
from mmfs.loader.kinds import batch_column
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Field, keys_in
from mmfs.loader.rooms import Rooms, Slot
from mmfs.loader.table_part import BadPlace, BaseRows, TablePart
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.keys import Ids, Int64s, Keys
from mmfs.store.objects import Objects
from mmfs.store.pin import Pin, PinnedColumn, Window
from mmfs.store.runs import selected_runs

Captions = Literal["first", "random", "all"]


@dataclass(frozen=True)
class ReadOptions:
    """How values are handed out; see `Loader` for each."""

    decode: bool = True
    image_size: int | None = 256
    captions: Captions = "first"
    verify: bool = True
    cache: Path | None = None

    @property
    def size(self) -> Size | None:
        """Height and width of pictures; None: as stored."""
        return None if self.image_size is None else (self.image_size, self.image_size)

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise LoaderError(f"image_size={self.image_size}", mend="give pixels, or None for stored sizes")
        if self.captions not in ("first", "random", "all"):
            raise LoaderError(f"captions={self.captions!r}", mend="choose first, random or all")


class PinReader:
    """Reads samples of one pin by number.

    Args:
        objects: The store's objects.
        pin: The pin.
        options: How values are handed out.
        taken_down: Sorted media ids that must not be read any more.

    Attributes:
        places: Rows of a sample: T of a window, else 1.
        slots: The stored columns of a batch.
        inputs: What live columns are computed from, by name: values of a sample.
    """

    def __init__(self, objects: Objects, pin: Pin, options: ReadOptions, taken_down: Ids | None = None) -> None:
        self._pin = pin
        self._options = options
        self._taken_down = taken_down
        window = pin.window or Window(frames=1)
        self.places = window.frames
        self._offsets = window.stride * np.arange(window.frames, dtype=np.int64)
        self._step = window.step if pin.window else 1
        by_table: dict[str, dict[str, PinnedColumn]] = {}
        for name, source in pin.sources.items():
            by_table.setdefault(source.table, {})[name] = source
        base_name = GRAIN_TABLES[pin.grain]
        self._base = self._open(objects, base_name, list(by_table.get(base_name, {}).values()))
        self._tables = [self._table(objects, name, sources) for name, sources in by_table.items()]
        self.slots = [slot for table in self._tables for slot, _ in table.columns]
        self.inputs = {one.name: table.each for table in self._tables for one, _ in table.inputs}
        runs = selected_runs(objects, pin)
        self._run_ends = np.cumsum(runs.samples)
        self._run_rows = runs.first_row + self._base.first_row[runs.shard]

    @property
    def has_masks(self) -> bool:
        """Whether samples with missing values are delivered, with masks."""
        return self._pin.missing == "null"

    @property
    def bytes_read(self) -> int:
        """Bytes of blobs read so far."""
        return sum(table.fetcher.bytes_read for table in self._tables)

    def slot(self, name: str, source: PinnedColumn) -> Slot:
        """The part that a column of this kind and grain has of every batch."""
        is_coarser = source.grain != self._pin.grain
        return Slot(
            name,
            batch_column(source, decode=self._options.decode, size=self._options.size),
            each=1 if is_coarser else self.places,
            is_windowed=self._pin.window is not None and not is_coarser,
            gives_all=self._gives_all(source.grain),
        )

    def fill(self, rooms: Rooms, places: Int64s, samples: Int64s, draws: Int64s) -> tuple[list[str], list[BadPlace]]:
        """Read samples into places of a batch.

        Args:
            rooms: Room for `slots` and `inputs`.
            places: Where each sample goes, int64 [n].
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
        base = BaseRows(rows, records, keys, heads, draws if self._options.captions == "random" else None)
        for table in self._tables:
            bad += table.fill(rooms, places, base)
        return heads.names(), bad

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

    def _buried(self, heads: Keys) -> list[BadPlace]:
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

    def _table(self, objects: Objects, name: str, sources: dict[str, PinnedColumn]) -> TablePart:
        grain = next(iter(sources.values())).grain
        is_base = name == GRAIN_TABLES[self._pin.grain]
        is_coarser = grain != self._pin.grain
        rows = self._base if is_base else self._open(objects, name, list(sources.values()))
        inputs = {one.name: one for live in self._pin.live.values() for one in live.inputs}  # each once
        return TablePart(
            rows=rows,
            join=None if is_base else Join(self._base, self._pin.grain, rows, grain, self._options.cache),
            fetcher=Fetcher(objects, self._pin.tables[name].packs, verify=self._options.verify),
            columns=[(self.slot(c, source), source) for c, source in sources.items() if c in self._pin.columns],
            inputs=[(one, sources[one.column]) for one in inputs.values() if one.column in sources],
            each=1 if is_coarser else self.places,
            is_coarser=is_coarser,
            gives_all=self._gives_all(grain),
        )

    def _gives_all(self, grain: Grain) -> bool:
        return grain not in (self._pin.grain, "media") and self._options.captions == "all"
