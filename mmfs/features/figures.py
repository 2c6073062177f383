"""A shard of a table in a few numbers, so that an odd shard stands out where they are drawn side by side.

Only small columns are read, never packs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.schemas import BASE_TABLES, BLOB_COLUMNS, GRAIN_TABLES, Column, TableSpec
from mmfs.store.arrays import as_numpy

if TYPE_CHECKING:
    from mmfs.store import Store

Figures = dict[str, float]

#: Columns that are drawn, of a table with more the first ones.
_COLUMNS = 24
#: Vectors whose neighbours are looked for: enough for a mean, and a product of matrices of a few milliseconds.
_VECTORS = 512
#: Whole numbers beyond this are hashes and times, not quantities.
_LARGEST = 2**48


def shard_figures(store: Store, table: str, shard: str) -> Figures:
    """Means and shares of one shard's rows; nothing where it has none, and for tables of no grain.

    Of numbers ``mean_<column>``; of yes and no ``share_<column>``; of a vector how far its rows are ``<column>_spread``
    over all directions (0: all the same, 1: evenly) and how like the nearest other one, ``<column>_nearest``; of bytes
    in packs ``mean_<blob>_bytes``. Tables of media have figures of their own.
    """
    if table not in store.tables or not store.tables.shards(table).get(shard):
        return {}
    spec = store.tables.spec(table)
    if spec.grain is None:
        return {}
    found = _OWN[table](store, shard) if table in _OWN else _of_columns(store, spec, shard)
    if spec.blob:
        lengths = store.tables.read(table, columns=["length"], shard=shard).column("length")
        found[f"mean_{spec.blob}_bytes"] = pc.mean(lengths).as_py()
    return {name: round(float(value), 4) for name, value in found.items() if value is not None and np.isfinite(value)}


def _of_columns(store: Store, spec: TableSpec, shard: str) -> Figures:
    skipped = {*spec.key, *(column.name for column in BLOB_COLUMNS), "fingerprint"}
    drawn = [column for column in spec.columns if column.name not in skipped and _is_drawn(column)][:_COLUMNS]
    rows = store.tables.read(spec.name, columns=[column.name for column in drawn], shard=shard)
    found: Figures = {}
    for column in drawn:
        values = rows.column(column.name).drop_null()
        if len(values):
            found |= _of_vectors(column.name, values) if column.vector else _of_scalars(column.name, values)
    return found


def _is_drawn(column: Column) -> bool:
    kind = column.type
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return column.vector is not None or (is_number and not column.name.endswith("_us"))


def _of_scalars(name: str, values: pa.ChunkedArray) -> Figures:
    if pa.types.is_boolean(values.type):
        return {f"share_{name}": pc.mean(values).as_py()}
    if pa.types.is_integer(values.type) and max(abs(end) for end in pc.min_max(values).as_py().values()) > _LARGEST:
        return {}
    return {f"mean_{name}": pc.mean(values).as_py()}


def _of_vectors(name: str, values: pa.ChunkedArray) -> Figures:
    vectors = as_numpy(pc.list_flatten(values)).reshape(len(values), -1).astype(np.float32)
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    if not len(unit):
        return {}
    found = {f"{name}_spread": float(1 - np.linalg.norm(unit.mean(axis=0)))}
    return found | ({f"{name}_nearest": _nearest(unit)} if len(unit) > 1 else {})


def _nearest(unit: npt.NDArray[np.float32]) -> float:
    """Mean cosine to the nearest other vector, of vectors evenly drawn from ``[B, D]``."""
    drawn = unit[np.linspace(0, len(unit) - 1, min(len(unit), _VECTORS)).astype(int)]
    cosines = drawn @ drawn.T
    np.fill_diagonal(cosines, -1)
    return float(cosines.max(axis=1).mean())


def _of_media(store: Store, shard: str) -> Figures:
    rows = store.tables.read("raw_media", columns=["kind", "size_bytes", "duration_s"], shard=shard)
    listed, sources = (store.tables.shards(table).get(shard, 0) for table in ("listings", "sources"))
    stages = store.tables.read("quarantine", columns=["stage"], shard=shard).column("stage").to_pylist()
    return {
        "media_bytes": pc.sum(rows.column("size_bytes")).as_py(),
        "mean_size_bytes": pc.mean(rows.column("size_bytes")).as_py(),
        "mean_duration_s": pc.mean(rows.column("duration_s")).as_py(),
        "share_video": rows.column("kind").to_pylist().count("video") / rows.num_rows,
        "share_quarantined": stages.count("raw_media") / listed if listed else 0.0,
        "sources_per_media": sources / rows.num_rows,
    }


def _of_captions(store: Store, shard: str) -> Figures:
    rows = store.tables.read("captions", columns=["media_id", "text"], shard=shard)
    media = store.tables.shards("raw_media").get(shard, 0)
    words = pc.count_substring_regex(pc.utf8_trim_whitespace(rows.column("text")), r"\s+")
    return {
        "captions_per_media": rows.num_rows / media if media else 0.0,
        "words_per_caption": pc.mean(words).as_py() + 1,
        "share_uncaptioned": 1 - len(rows.column("media_id").unique()) / media if media else 0.0,
    }


def _of_samples(table: str) -> Callable[[Store, str], Figures]:
    """Figures of a table that cuts media into samples."""

    def figures(store: Store, shard: str) -> Figures:
        spec = store.tables.spec(table)
        rows = store.tables.read(table, columns=["media_id"], shard=shard)
        return {
            **_of_columns(store, spec, shard),
            f"{table}_per_media": rows.num_rows / len(rows.column("media_id").unique()),
        }

    return figures


_OWN: dict[str, Callable[[Store, str], Figures]] = {
    "raw_media": _of_media,
    "captions": _of_captions,
    **{name: _of_samples(name) for name in GRAIN_TABLES.values() if BASE_TABLES[name].blob},
}
