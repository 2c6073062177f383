"""What narrows a selection: a WHERE condition, a subset, another pin, tombstones. Each is a set of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.errors import PinError, StoreError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Keys, key_columns, media_ids
from mmfs.store.parquet import read_parquet
from mmfs.store.pin import Pin, Window
from mmfs.store.runs import selected_runs
from mmfs.store.selection import Mask
from mmfs.store.subsets import subset_rows

if TYPE_CHECKING:
    from mmfs.store.objects import Objects
    from mmfs.store.store import Store


@dataclass(frozen=True)
class KeyFilter:
    """Keys that rows must have, or, with ``exclude``, must not have. Media keys speak for all rows of the media.

    Attributes:
        what: The filter in words, for errors.
        everywhere: Sorted keys of unknown shard.
        by_shard: Or: sorted keys of each shard; none for a shard that is absent.
    """

    what: str
    everywhere: Keys | None = None
    by_shard: Mapping[str, Keys] | None = None
    exclude: bool = False

    def apply(self, shard: str, keys: Keys) -> tuple[Mask, int]:
        """Which rows of a shard pass, bool [rows], and how many of the filter's own keys were found there."""
        wanted = self.everywhere if self.by_shard is None else self.by_shard.get(shard)
        if wanted is None:
            return np.full(len(keys), self.exclude), 0
        if wanted.index is None and keys.index is not None:
            inside = keys.media_rows_in(wanted.media)[1] > 0
            found = int((wanted.media_rows_in(keys.media)[1] > 0).sum())
        else:
            inside = keys.locate_in(wanted) >= 0
            found = int(inside.sum())
        return inside != self.exclude, found

    @property
    def size(self) -> int | None:
        """Keys of unknown shard, each of which should be found somewhere; None where that is no question."""
        return None if self.everywhere is None or self.exclude else len(self.everywhere)


def where_filter(store: Store, grain: Grain, where: str, versions: Mapping[str, int]) -> KeyFilter:
    """The rows that meet a condition, at the pinned versions.

    Raises:
        WhereError: The condition is wrong.
    """
    from mmfs.store.select import select

    return KeyFilter(
        f"where {where!r}", by_shard=_by_shard(select(store, grain, where=where, versions=versions), grain)
    )


def subset_filter(store: Store, grain: Grain, name: str) -> KeyFilter:
    """The samples of a saved subset.

    Raises:
        PinError: There is no such subset, or its samples are of another grain (media are fine for every grain).
    """
    try:
        rows = subset_rows(store, name)
    except StoreError as error:
        raise PinError(error.what, where=error.where, mend=error.mend) from error
    saved = rows.column("grain")[0].as_py()
    if saved not in (grain, "media"):
        raise PinError(
            f"subset {name!r} holds keys of grain {saved}, the pin has grain {grain}",
            mend=f"pin with grain={saved!r}, or save a subset of {GRAIN_TABLES[grain]}",
        )
    index = None if saved == "media" else as_numpy(rows.column("index")).astype(np.int64)
    return KeyFilter(f"subset {name!r}", everywhere=_sorted(Keys(media_ids(rows.column("media_id")), index)))


def like_filter(objects: Objects, pin: Pin) -> KeyFilter:
    """The rows that the samples of another pin are made of."""
    runs = selected_runs(objects, pin)
    window = pin.window or Window(frames=1)
    found = {}
    for number, file in enumerate(pin.tables[GRAIN_TABLES[pin.grain]].files):
        keys = Keys.of(read_parquet(objects, file, key_columns(pin.grain)), pin.grain)
        starts = runs.starts_of(number, window.step)
        found[file.shard] = keys.at(np.unique(starts[:, None] + window.stride * np.arange(window.frames)))
    return KeyFilter(f"the selection of pin {pin.name!r}", by_shard=found)


def tombstone_filter(store: Store) -> KeyFilter | None:
    """All but the media that were taken down; None when there are none."""
    rows = store.tables.read("tombstones", columns=["media_id"])
    if rows.num_rows == 0:
        return None
    return KeyFilter("tombstones", everywhere=Keys(np.unique(media_ids(rows.column("media_id"))), None), exclude=True)


def _sorted(keys: Keys) -> Keys:
    order = np.argsort(keys.media, kind="stable") if keys.index is None else np.lexsort((keys.index, keys.media))
    return keys.at(order)


def _by_shard(rows: pa.Table, grain: Grain) -> dict[str, Keys]:
    """Rows in canonical order, cut where the shard changes."""
    keys = Keys.of(rows, grain)
    shards = rows.column("shard").combine_chunks().dictionary_encode()
    codes = as_numpy(shards.indices)
    return {name: keys.at(np.flatnonzero(codes == code)) for code, name in enumerate(shards.dictionary.to_pylist())}
