"""One shard, looked at for a pin: which of its rows become samples, and which columns they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mmfs.ids import digest
from mmfs.schemas import Grain
from mmfs.store.arrays import as_bools, as_numpy
from mmfs.store.keys import Int64s, Keys, key_columns
from mmfs.store.objects import Objects
from mmfs.store.parquet import read_parquet
from mmfs.store.pin import Missing, PinnedFile, Window
from mmfs.store.pin_filters import KeyFilter
from mmfs.store.pinned_columns import Need
from mmfs.store.selection import Mask, Runs, runs_of, sample_rows


@dataclass
class ShardScan:
    """What a shard contributes to a pin.

    Attributes:
        shard: Name of the shard.
        rows: Rows of the table that defines the grain.
        selected: Rows that passed the filters.
        present: Of these, how many have each column.
        found: Keys of each filter that were found here.
        runs: The samples.
        content: Hash of their keys.
        packs: Packs that the samples' rows name, by table.
    """

    shard: str
    rows: int
    selected: int
    found: list[int]
    present: dict[str, int] = field(default_factory=dict)
    runs: Runs = field(default_factory=lambda: runs_of(np.zeros(0, np.int64), None))
    content: str = ""
    packs: dict[str, set[str]] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return self.runs.total

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
) -> ShardScan:
    """Look at one shard.

    Args:
        file: Rows of the table that defines the grain.
        files: The shard's file of every table that has one.
        needs: What a row must have, by column asked for.
    """
    keys = Keys.of(read_parquet(objects, file.path, key_columns(grain)), grain)
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
    scan.runs = runs_of(rows, window)
    scan.content = digest(keys.at(rows).content())
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
    rows = read_parquet(objects, file.path, list(wanted))
    theirs = Keys.of(rows, own)
    if own == grain:
        at = keys.locate_in(theirs)
        return _Side(rows, np.maximum(at, 0), (at >= 0).astype(np.int64))
    return _Side(rows, *keys.media_rows_in(theirs.media))


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
