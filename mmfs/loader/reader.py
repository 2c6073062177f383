"""Everything needed to read the samples of a pin: tables, joins, columns. No Delta log, no store; threads share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmfs.errors import LoaderError
from mmfs.loader.cache.blocks import Blocks
from mmfs.loader.cache.download import download
from mmfs.loader.cache.folder import CacheFolder
from mmfs.loader.cache.pack_cache import CachedFetcher
from mmfs.loader.columns import Size
from mmfs.loader.fetch import Bad, Fetcher, LocalFetcher, RemoteFetcher
from mmfs.loader.join import Join
from mmfs.loader.kinds import batch_column
from mmfs.loader.random_rows import RandomRows
from mmfs.loader.records import Field, keys_in
from mmfs.loader.rooms import Rooms, Slot
from mmfs.loader.stats import Traffic
from mmfs.loader.table_part import BadPlace, BaseRows, TablePart
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.keys import Ids, Int64s, Keys
from mmfs.store.objects import Objects
from mmfs.store.pin import Pin, PinnedColumn, Window
from mmfs.store.runs import selected_runs

if TYPE_CHECKING:
    from torch import Tensor

#: Samples that are downloaded together: requests of megabytes, and little memory.
_DOWNLOAD_SAMPLES = 256

Captions = Literal["first", "random", "all"]


@dataclass(frozen=True)
class ReadOptions:
    """How values are handed out; see `Loader` for each."""

    decode: bool = True
    image_size: int | None = 256
    captions: Captions = "first"
    verify: bool = True
    cache: CacheFolder | None = None

    @property
    def size(self) -> Size | None:
        """Height and width of pictures; None: as stored."""
        return None if self.image_size is None else (self.image_size, self.image_size)

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise LoaderError(f"image_size={self.image_size}", mend="give pixels, or None for stored sizes")
        if self.captions not in ("first", "random", "all"):
            raise LoaderError(f"captions={self.captions!r}", mend="choose first, random or all")


#: Rows that one thread reads at a time: few where each takes long, so that all threads are kept busy; many where the
#: steps for a chunk, whatever its size, are most of the work (vectors and captions: twice as fast as in chunks of 32).
_DEAR, _CHEAP = 32, 128


class PinReader:
    """Reads samples of one pin by number.

    Args:
        objects: The store's objects.
        pin: The pin.
        options: How values are handed out.
        taken_down: Sorted media ids that must not be read any more.

    Raises:
        LoaderError: A size of pictures is asked for, and the pin's buckets have sizes of their own.

    Attributes:
        places: Rows of a sample: T of a window, else 1.
        at_once: Samples that one thread should read at a time.
        slots: The stored columns of a batch.
        inputs: What live columns are computed from, by name: values of a sample.
    """

    def __init__(self, objects: Objects, pin: Pin, options: ReadOptions, taken_down: Ids | None = None) -> None:
        if pin.buckets and options.image_size not in (None, ReadOptions.image_size):
            raise LoaderError(
                f"image_size={options.image_size}, and pin {pin.name!r} has buckets with sizes of their own",
                mend="leave image_size= out, or give None for stored sizes",
            )
        self._pin = pin
        self._is_local = objects.is_local
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
        waits = options.decode or not objects.is_local
        rows_at_once = _DEAR if waits and any(one.kind == "blob" for one in pin.sources.values()) else _CHEAP
        self.at_once = max(1, rows_at_once // self.places)
        runs = selected_runs(objects, pin)
        self._run_ends = np.cumsum(runs.samples)
        self._run_rows = runs.first_row + self._base.first_row[runs.shard]
        parts = [bucket.shard_rows for bucket in pin.buckets] or [pin.shard_rows]
        self._blocks = Blocks(tuple(rows for part in parts for rows in part.values()), pin.order.block)

    @property
    def has_masks(self) -> bool:
        """Whether samples with missing values are delivered, with masks."""
        return self._pin.missing == "null"

    @property
    def traffic(self) -> Traffic:
        """Bytes read so far, and where from."""
        fetchers = [table.fetcher for table in self._tables]
        rows = {id(rows): rows for rows in (self._base, *(table.rows for table in self._tables))}.values()
        return Traffic(
            read=sum(one.bytes_read for one in fetchers),
            fetched=sum(one.bytes_fetched for one in fetchers) + sum(one.bytes_fetched for one in rows),
            cached=sum(one.bytes_cached for one in fetchers),
        )

    def download(self, rank: int, world_size: int, threads: int) -> None:
        """Bring all samples to the node's disk, from a store on another machine; the ranks share the work.

        Raises:
            LoaderError: A file is gone or cannot be reached.
        """
        if self._options.cache is None or self._is_local:
            return

        def fetch(blocks: Sequence[int], waits: bool) -> bool:
            base, _ = self._of_blocks(blocks)
            return all([table.prefetch(base, waits=waits) for table in self._tables])  # noqa: C419 - all of them

        blocks = self._blocks.all
        each = max(1, _DOWNLOAD_SAMPLES // self._pin.order.block)
        parts = [blocks[start : start + each] for start in range(0, len(blocks), each)]
        download(parts, fetch, first=rank * len(parts) // world_size, threads=threads)

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
        base = self._base_rows(samples, draws if self._options.captions == "random" else None)
        bad = self._buried(base.heads)
        for table in self._tables:
            bad += table.fill(rooms, places, base)
        return base.heads.names(), bad

    def keys(self, samples: Int64s) -> list[str]:
        """Keys of samples, as in ``batch["_key"]``."""
        return keys_in(self._base.take(self._rows_of(samples)[:, 0]), self._pin.grain).names()

    def labels(self, samples: Int64s) -> dict[str, Tensor]:
        """What a batch says of where its samples come from: nothing, of one pin."""
        return {}

    def _base_rows(self, samples: Int64s, draws: Int64s | None) -> BaseRows:
        def wider(numbers: Sequence[int]) -> tuple[BaseRows, Int64s]:
            blocks = np.unique(self._blocks.of(samples[list(numbers)])).tolist()
            return self._of_blocks(blocks)

        rows = self._rows_of(samples)
        flat = rows.reshape(-1)
        records = self._base.take(flat)
        keys = keys_in(records, self._pin.grain)
        return BaseRows(rows, records, keys, keys.at(np.arange(0, len(flat), self.places)), draws, wider)

    def _of_blocks(self, blocks: Sequence[int]) -> tuple[BaseRows, Int64s]:
        """The rows of all samples of some blocks, and the block of each sample."""
        samples = [self._blocks.samples(block) for block in blocks] or [np.zeros(0, np.int64)]
        owners = np.repeat(np.array(blocks, np.int64), [len(one) for one in samples][: len(blocks)])
        return self._base_rows(np.concatenate(samples), None), owners

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
        return RandomRows(objects, name, self._pin.tables[name], grain=grain, fields=fields, cache=self._options.cache)

    def _table(self, objects: Objects, name: str, sources: dict[str, PinnedColumn]) -> TablePart:
        grain = next(iter(sources.values())).grain
        is_base = name == GRAIN_TABLES[self._pin.grain]
        is_coarser = grain != self._pin.grain
        rows = self._base if is_base else self._open(objects, name, list(sources.values()))
        inputs = {one.name: one for live in self._pin.live.values() for one in live.inputs}  # each once
        return TablePart(
            rows=rows,
            join=None
            if is_base
            else Join(
                self._base, self._pin.grain, rows, grain, self._options.cache.root if self._options.cache else None
            ),
            fetcher=self._fetcher(objects, self._pin.tables[name].packs),
            columns=[(self.slot(c, source), source) for c, source in sources.items() if c in self._pin.columns],
            inputs=[(one, sources[one.column]) for one in inputs.values() if one.column in sources],
            each=1 if is_coarser else self.places,
            is_coarser=is_coarser,
            gives_all=self._gives_all(grain),
        )

    def _fetcher(self, objects: Objects, packs: Sequence[str]) -> Fetcher:
        verify, cache = self._options.verify, self._options.cache
        if objects.is_local:
            return LocalFetcher(objects, packs, verify=verify)
        if cache is None:
            return RemoteFetcher(objects, packs, verify=verify)
        return CachedFetcher(objects, packs, verify=verify, cache=cache)

    def _gives_all(self, grain: Grain) -> bool:
        return grain not in (self._pin.grain, "media") and self._options.captions == "all"
