"""One shard, looked at for a pin: which of its rows become samples, and which columns they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mmfs.ids import digest
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.arrays import as_bools, as_numpy
from mmfs.store.buckets import Size, lengths_in, nearest_buckets, size_columns
from mmfs.store.keys import Int64s, Keys, key_columns
from mmfs.store.objects import Objects
from mmfs.store.parquet import read_parquet
from mmfs.store.pin import Missing, PinnedFile, Window
from mmfs.store.pin_filters import KeyFilter
from mmfs.store.pinned_columns import Need
from mmfs.store.selection import Mask, Runs, runs_of, sample_rows


@dataclass(frozen=True)
class Part:
    """Samples of a shard that follow one another in the selection.

    Attributes:
        runs: Where they begin.
        content: Hash of their keys.
    """

    runs: Runs
    content: str


@dataclass
class ShardScan:
    """What a shard contributes to a pin.

    Attributes:
        shard: Name of the shard.
        rows: Rows of the table that defines the grain.
        selected: Rows that passed the filters.
        present: Of these, how many have each column.
        found: Keys of each filter that were found here.
        parts: The samples, bucket by bucket; without buckets, all are one part.
        sizeless: Samples whose picture's size is not known, where buckets need it.
        packs: Packs that the samples' rows name, by table.
    """

    shard: str
    rows: int
    selected: int
    found: list[int]
    present: dict[str, int] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    sizeless: int = 0
    packs: dict[str, set[str]] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(part.runs.total for part in self.parts)

    @property
    def is_whole(self) -> bool:
        """Whether every row is a sample."""
        return self.samples == self.rows


@dataclass(frozen=True)
class _Side:
    """The rows of one table that belong to the base rows: row ``first[i]`` and ``count[i] - 1`` more."""

    rows: pa.Table
    first: Int64s
    count: Int64s

    def has(self, column: str) -> Mask:
        """Which base rows have a row in this table, and none with a null there."""
        nulls = np.concatenate(([0], np.cumsum(_is_null(self.rows.column(column)))))
        whole: Mask = (self.count > 0) & (nulls[self.first + self.count] == nulls[self.first])
        return whole


def scan_shard(
    objects: Objects,
    file: PinnedFile,
    files: Mapping[str, PinnedFile],
    *,
    grain: Grain,
    needs: Mapping[str, Sequence[Need]],
    filters: Sequence[KeyFilter],
    missing: Missing,
    window: Window | None,
    buckets: Sequence[Size],
) -> ShardScan:
    """Look at one shard.

    Args:
        file: Rows of the table that defines the grain.
        files: The shard's file of every table that has one.
        needs: What a row must have, by column asked for.
        buckets: Sizes by whose shape the samples are parted; none for one part.
    """
    keys = Keys.of(read_parquet(objects, file, key_columns(grain)), grain)
    selected, found = np.ones(len(keys), np.bool_), []
    for chosen in filters:
        passed, count = chosen.apply(file.shard, keys)
        selected &= passed
        found.append(count)
    scan = ShardScan(file.shard, len(keys), int(selected.sum()), found)
    every = [need for column in needs.values() for need in column]
    sides = {table: _side(objects, files.get(table), keys, grain, some) for table, some in _by_table(every).items()}
    has_all = selected.copy()
    for name, column in needs.items():
        has = np.ones(len(keys), np.bool_)
        for need in column:
            side = sides[need.table]
            has &= side.has(need.carrier) if side is not None else False
        scan.present[name] = int((has & selected).sum())
        has_all &= has
    rows = sample_rows(keys, has_all if missing == "skip" else selected, window)
    parts = [rows]
    if buckets:
        heights, widths = _picture_sizes(objects, files, keys.at(rows), rows, grain)
        scan.sizeless = int(((heights == 0) | (widths == 0)).sum())
        nearest = nearest_buckets(np.maximum(heights, 1), np.maximum(widths, 1), buckets)
        parts = [rows[nearest == number] for number in range(len(buckets))]
    scan.parts = [Part(runs_of(part, window), digest(keys.at(part).content())) for part in parts]
    members = rows if window is None else np.unique(rows[:, None] + window.stride * np.arange(window.frames))
    for need in every:
        side = sides[need.table]
        if need.carrier == "pack" and side is not None:
            scan.packs.setdefault(need.table, set()).update(_packs(side, members, with_previous=need.is_previous))
    return scan


def _by_table(needs: Sequence[Need]) -> dict[str, list[Need]]:
    tables: dict[str, list[Need]] = {}
    for need in needs:
        tables.setdefault(need.table, []).append(need)
    return tables


def _side(objects: Objects, file: PinnedFile | None, keys: Keys, grain: Grain, needs: Sequence[Need]) -> _Side | None:
    if file is None:
        return None
    own = needs[0].grain
    wanted = dict.fromkeys([*key_columns(own), *(need.carrier for need in needs)])
    rows = read_parquet(objects, file, list(wanted))
    theirs = Keys.of(rows, own)
    if own == grain:
        at = keys.locate_in(theirs)
        return _Side(rows, np.maximum(at, 0), (at >= 0).astype(np.int64))
    return _Side(rows, *keys.media_rows_in(theirs.media))


def _picture_sizes(
    objects: Objects, files: Mapping[str, PinnedFile], heads: Keys, rows: Int64s, grain: Grain
) -> tuple[Int64s, Int64s]:
    """Height and width of the stored picture of each sample, int64 [n]; 0 where they are not known.

    Args:
        heads: Key of each sample's first row.
        rows: Number of that row in the table that defines the grain.
    """
    table, *lengths = size_columns(grain)
    file = files.get(table)
    if file is None:
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    if table == GRAIN_TABLES[grain]:
        sizes = read_parquet(objects, file, lengths)
        found = [lengths_in(sizes.column(name))[rows] for name in lengths]
    else:
        sizes = read_parquet(objects, file, [*key_columns("media"), *lengths])
        at = Keys(heads.media, None).locate_in(Keys.of(sizes, "media"))
        found = [np.append(lengths_in(sizes.column(name)), 0)[at] for name in lengths]  # -1 is the last one
    return found[0], found[1]


def _packs(side: _Side, members: Int64s, *, with_previous: bool) -> set[str]:
    packs = side.rows.column("pack").combine_chunks().dictionary_encode()
    codes = as_numpy(packs.indices)
    first, count = side.first[members], side.count[members]
    used: set[int] = set()
    for offset in range(int(count.max(initial=0))):
        places = first[count > offset] + offset
        used.update(np.unique(codes[places]).tolist())
        if with_previous:  # of another media, where there is none before: that costs a pack at most
            used.update(np.unique(codes[np.maximum(places - 1, 0)]).tolist())
    names = packs.dictionary.to_pylist()
    return {names[code] for code in used}


def _is_null(column: pa.ChunkedArray) -> Mask:
    if column.null_count == 0:
        return np.zeros(len(column), np.bool_)
    return as_bools(column.combine_chunks().is_null())
