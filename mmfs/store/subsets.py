"""Named subsets: which samples were chosen, by what, and from which versions.

A subset is one shard of the table ``subsets``, named after the subset, so that saving one never rewrites another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import StoreError
from mmfs.ids import parse_key
from mmfs.schemas import BASE_TABLES, GRAIN_KEYS, Grain

if TYPE_CHECKING:
    from mmfs.store.store import Store

TABLE = "subsets"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_METADATA = b"mmfs.provenance"
_OPTIONAL = ("score", "segment_start_s", "segment_end_s")


@dataclass(frozen=True)
class Provenance:
    """Where the samples of a subset came from."""

    query: str | None = None
    where: str | None = None
    model: str | None = None
    build_id: str | None = None
    source_versions: Mapping[str, int] | None = None

    def metadata(self) -> dict[bytes, bytes]:
        """Metadata of a table's schema that keep the provenance with the table."""
        return {_METADATA: json.dumps(vars(self)).encode()}

    @classmethod
    def of(cls, table: pa.Table) -> Provenance:
        """The provenance that a table carries; an empty one where it carries none."""
        return cls(**json.loads((table.schema.metadata or {}).get(_METADATA, b"{}")))


@dataclass(frozen=True)
class SavedSubset:
    """What was saved."""

    name: str
    grain: Grain
    samples: int
    version: int


def save_subset(store: Store, name: str, chosen: pa.Table, provenance: Provenance, *, now_us: int) -> SavedSubset:
    """Save samples under a name, replacing what the name held.

    Args:
        store: The store.
        name: Letters, digits, ``.``, ``_`` and ``-``; at most 100 characters.
        chosen: Rows with the key columns of one grain (``media_id`` and ``frame_index``, ...) or a ``key`` column;
            in rank order. ``score``, ``segment_start_s`` and ``segment_end_s`` are kept where present. A sample that
            comes twice keeps its better rank.
        provenance: Recorded with every row.
        now_us: The time to record, microseconds since 1970.

    Raises:
        StoreError: The name is not allowed, no key columns are there, or nothing was chosen.
    """
    check_name(name)
    if chosen.num_rows == 0:
        raise StoreError(
            f"subset {name!r} would be empty", mend="loosen the query; an empty subset cannot be trained on"
        )
    grain, media_id, index = keys_of(chosen)
    keys = media_id if index is None else pc.binary_join_element_wise(media_id, pc.cast(index, pa.string()), ":")
    rank = pa.array(range(chosen.num_rows), pa.int64())
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"key": keys, "media_id": media_id, "rank": rank}
    if index is not None:
        columns["index"] = index
    for optional in _OPTIONAL:
        if optional in chosen.column_names:
            columns[optional] = pc.cast(chosen[optional], pa.float64())
    rows = _first_of_each(pa.table(columns))
    constants = {
        "grain": grain,
        "query": provenance.query,
        "where": provenance.where,
        "model": provenance.model,
        "build_id": provenance.build_id,
        "source_versions": json.dumps(dict(provenance.source_versions or {}), sort_keys=True),
        "saved_at_us": now_us,
    }
    for column, value in constants.items():
        kind = BASE_TABLES[TABLE].column(column).type
        rows = rows.append_column(column, pa.array([value] * rows.num_rows, kind))
    commit = store.tables.update(TABLE, name, lambda _current: rows)
    return SavedSubset(name, grain, rows.num_rows, commit.version)


def subset_rows(store: Store, name: str) -> pa.Table:
    """The rows of a subset, in rank order.

    Raises:
        StoreError: There is no subset of this name.
    """
    check_name(name)
    rows = store.tables.read(TABLE, shard=name)
    if rows.num_rows == 0:
        known = ", ".join(subset_names(store)) or "none yet"
        raise StoreError(f"there is no subset {name!r}", mend=f"save it first; subsets here: {known}")
    return rows.sort_by("rank")


def subset_names(store: Store) -> list[str]:
    """Names of all subsets, sorted."""
    return list(store.tables.shards(TABLE))


def check_name(name: str) -> None:
    """Raise a StoreError unless ``name`` may name a subset."""
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is no name for a subset", mend="use letters, digits, '.', '_' and '-', at most 100 characters"
        )


def keys_of(chosen: pa.Table) -> tuple[Grain, pa.Array, pa.Array | None]:
    """Grain, media ids and indexes (None at the grain of media) of rows with the key columns of one grain or ``key``.

    Raises:
        StoreError: There are no such columns, or keys of different grains.
    """
    names = set(chosen.column_names)
    if "media_id" in names and not {"key", "grain"} <= names:  # rows of a subset name their grain
        for grain in ("frame", "audio_window", "caption"):
            index_column = GRAIN_KEYS[grain][1].name
            if index_column in names:
                return grain, _flat(chosen["media_id"], pa.string()), _flat(chosen[index_column], pa.int64())
        return "media", _flat(chosen["media_id"], pa.string()), None
    if "key" in names:
        parsed = [parse_key(key) for key in _flat(chosen["key"], pa.string()).to_pylist()]
        indexes = [index for _media, index in parsed]
        media = pa.array([media for media, _index in parsed], pa.string())
        if all(index is None for index in indexes):
            return "media", media, None
        if any(index is None for index in indexes):
            raise StoreError("keys of frames and of media are mixed", mend="save samples of one grain")
        grain = str(chosen["grain"][0].as_py()) if "grain" in names else "frame"
        if grain not in GRAIN_KEYS:
            raise StoreError(f"there is no grain {grain!r}", mend="grains are " + ", ".join(GRAIN_KEYS))
        return grain, media, pa.array(indexes, pa.int64())
    raise StoreError(
        "the chosen rows have no key columns",
        where=f"columns {sorted(names)}",
        mend="select media_id and frame_index (or key) as well",
    )


def _flat(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    cast = pc.cast(column, kind)
    return cast.combine_chunks() if isinstance(cast, pa.ChunkedArray) else cast


def _first_of_each(rows: pa.Table) -> pa.Table:
    """One row a key: that of the smallest rank."""
    best = rows.group_by("key").aggregate([("rank", "min")])
    if best.num_rows == rows.num_rows:
        return rows
    return rows.filter(pc.is_in(rows["rank"], value_set=best["rank_min"].combine_chunks()))
