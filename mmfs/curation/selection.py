"""Which samples a call looks at: all of a grain, or those of a subset and a condition, without media taken down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import CurationError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.arrays import as_arrow, as_numpy
from mmfs.store.keys import ID_LENGTH, Int64s, Keys, key_columns, media_ids
from mmfs.store.subsets import subset_rows
from mmfs.store.tombstones import taken_down

if TYPE_CHECKING:
    from mmfs.store import Store

_SUBSETS = "subsets"


@dataclass(frozen=True)
class Samples:
    """Samples of one grain in canonical order: shards sorted, keys sorted within each.

    Attributes:
        grain: What a sample is.
        keys: Their keys [n].
        shards: Names of the shards that hold any, sorted.
        starts: First sample of each shard and the number of samples, int64 [shards + 1].
        versions: Version of every table that was read to find them.
    """

    grain: Grain
    keys: Keys
    shards: tuple[str, ...]
    starts: Int64s
    versions: dict[str, int]

    def __len__(self) -> int:
        return len(self.keys)

    def by_shard(self) -> Iterator[tuple[str, int, Keys]]:
        """Each shard, its first sample, and the keys of its samples."""
        for number, shard in enumerate(self.shards):
            first, end = int(self.starts[number]), int(self.starts[number + 1])
            yield (
                shard,
                first,
                Keys(self.keys.media[first:end], None if self.keys.index is None else self.keys.index[first:end]),
            )

    def media_codes(self, rows: Int64s | None = None) -> Int64s:
        """A number for the media of each sample (of those at ``rows``), int64 [n]: equal where the media is."""
        media = self.keys.media if rows is None else self.keys.media[rows]
        return np.unique(media, return_inverse=True)[1].astype(np.int64)


def samples_of(store: Store, grain: Grain, *, subset: str | None = None, where: str | None = None) -> Samples:
    """The samples of a grain that belong to a subset and meet a condition.

    Args:
        subset: Name of a saved subset; one of media stands for all of their samples.
        where: SQL condition.

    Raises:
        CurationError: The subset holds samples of another grain, or no sample is left.
        StoreError: There is no such subset.
        WhereError: The condition is wrong.
    """
    read = {GRAIN_TABLES[grain], *_tables_of(store, grain, where), *({_SUBSETS} if subset is not None else ())}
    versions = {table: store.tables.version(table) for table in sorted(read)}
    rows = store.select(grain, where=where, versions=versions).select([*key_columns(grain), "shard"])
    keys = Keys.of(rows, grain)
    chosen = np.ones(len(keys), np.bool_)
    if subset is not None:
        chosen &= among(keys, _subset_keys(store, grain, subset))
    gone = taken_down(store)
    if len(gone):
        chosen &= ~among(keys, Keys(gone, None))
    if not chosen.any():
        raise CurationError(
            f"no {grain} is left to look at",
            where=", ".join([f"subset {subset!r}"] * (subset is not None) + [f"where {where!r}"] * (where is not None))
            or f"table {GRAIN_TABLES[grain]}",
            mend="loosen where= and subset=, or materialize first",
        )
    kept = np.flatnonzero(chosen)
    encoded = rows.column("shard").combine_chunks().dictionary_encode()
    codes = as_numpy(encoded.indices)[kept]
    firsts = np.flatnonzero(np.diff(codes, prepend=-1))
    names = encoded.dictionary.to_pylist()
    return Samples(
        grain,
        keys.at(kept),
        tuple(names[code] for code in codes[firsts].tolist()),
        np.append(firsts, len(kept)).astype(np.int64),
        versions,
    )


def among(keys: Keys, wanted: Keys) -> npt.NDArray[np.bool_]:
    """Whether each key is one of ``wanted`` (sorted), bool [n]; keys of media stand for all of their samples."""
    if wanted.index is None and keys.index is not None:
        return keys.media_rows_in(wanted.media)[1] > 0
    return keys.locate_in(wanted) >= 0


def _subset_keys(store: Store, grain: Grain, name: str) -> Keys:
    rows = subset_rows(store, name)
    saved = rows.column("grain")[0].as_py()
    if saved not in (grain, "media"):
        raise CurationError(
            f"subset {name!r} holds samples of grain {saved}, and {grain}s are looked at",
            mend=f"name a space of that grain, or a subset of {GRAIN_TABLES[grain]} or raw_media",
        )
    media = media_ids(rows.column("media_id"))
    if saved == "media":
        return Keys(np.sort(media), None)
    index = as_numpy(rows.column("index")).astype(np.int64)
    order = np.lexsort((index, media))
    return Keys(media[order], index[order])


def _tables_of(store: Store, grain: Grain, where: str | None) -> set[str]:
    if where is None:
        return set()
    from mmfs.store.where import parse_where  # the parser takes a tenth of a second to import

    return {column.table for column in parse_where(where, store.tables.catalog(), grain).columns}


def key_table(samples: Samples, rows: Int64s) -> pa.Table:
    """Key columns, and ``key`` as people write it, of the samples at these rows."""
    keys = samples.keys.at(rows)
    names = key_columns(samples.grain)
    columns = {names[0]: _media_texts(keys)}
    if keys.index is not None:
        columns[names[1]] = as_arrow(keys.index)
    columns["key"] = key_texts(samples, rows)
    return pa.table(columns)


def key_texts(samples: Samples, rows: Int64s) -> pa.Array:
    """``<media_id>:<index>`` of the samples at these rows, string [n]."""
    keys = samples.keys.at(rows)
    media = _media_texts(keys)
    if keys.index is None:
        return media
    return pc.binary_join_element_wise(media, as_arrow(keys.index).cast(pa.string()), ":")


def _media_texts(keys: Keys) -> pa.Array:
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * np.int32(ID_LENGTH)
    data = pa.py_buffer(np.ascontiguousarray(keys.media).tobytes())
    return pa.Array.from_buffers(pa.string(), len(keys), [None, pa.py_buffer(offsets), data])
