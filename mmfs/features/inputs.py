"""What a feature reads: the rows of one shard that it can be computed for, and their input values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.codecs import decode_depth16, decode_jpeg
from mmfs.errors import FeatureError
from mmfs.features.feature import FeatureSpec
from mmfs.schemas import BLOB_COLUMNS, GRAIN_KEYS, GRAIN_TABLES, TableSpec

if TYPE_CHECKING:
    from mmfs.store import Store

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Source:
    """One input table: its rows of the shard, and which of them belongs to each upstream row."""

    spec: TableSpec
    rows: pa.Table
    positions: Positions


@dataclass(frozen=True)
class Upstream:
    """The rows of a shard that a feature can be computed for: those present in every input table.

    Attributes:
        keys: Key columns of the feature's grain, sorted by key.
        key_strings: Sample keys, in the same order.
        fingerprints: For each row, the fingerprints of the rows it is computed from.
    """

    keys: pa.Table
    key_strings: pa.Array
    fingerprints: list[tuple[str, ...]]
    _inputs: tuple[str, ...]
    _sources: dict[str, _Source]

    def __len__(self) -> int:
        return int(self.keys.num_rows)

    def read(self, store: Store, positions: Positions) -> list[dict[str, Any]]:
        """Input values of some rows, as `mmfs.features.feature.Feature.prepare` takes them.

        Raises:
            IntegrityError: Stored bytes are damaged.
        """
        columns = {name: self._column(store, name, positions) for name in self._inputs}
        return [{name: values[i] for name, values in columns.items()} for i in range(len(positions))]

    def _column(self, store: Store, name: str, positions: Positions) -> Sequence[Any]:
        import torch

        table, _, column = name.partition(".")
        source = self._sources[table]
        rows = source.rows.take(source.positions[positions])
        if column == source.spec.blob:
            decode = _DECODERS[source.spec.codec or ""]
            return [decode(data) for data in store.blobs(table, rows)]
        values = rows.column(column).combine_chunks()
        if vector := source.spec.column(column).vector:
            flat = values.flatten().to_numpy().reshape(len(positions), vector.dim)
            return list(torch.from_numpy(flat.astype(np.float32)))
        return list(values.to_pylist())


def read_upstream(store: Store, spec: FeatureSpec, shard: str, *, values: bool) -> Upstream:
    """The rows of a shard that a feature can be computed for.

    Args:
        values: Whether input values will be read too; without, only keys and fingerprints are.

    Raises:
        FeatureError: An input names no column, or one of a finer grain than the feature's.
    """
    wanted = _columns_by_table(store, spec)
    specs = {table: store.tables.spec(table) for table in wanted}
    if all(specs[table].grain != spec.grain for table in wanted):
        # Only media columns are read: the rows are those that define the grain.
        base = GRAIN_TABLES[spec.grain]
        wanted, specs = {base: [], **wanted}, {base: store.tables.spec(base), **specs}
    tables = {
        name: store.tables.read(name, columns=_stored_columns(specs[name], columns if values else []), shard=shard)
        for name, columns in wanted.items()
    }
    own_grain = [name for name in wanted if specs[name].grain == spec.grain]
    keys = tables[own_grain[0]].select([column.name for column in GRAIN_KEYS[spec.grain]])
    positions = {name: find_rows(keys, tables[name], specs[name].key) for name in wanted}
    kept = np.flatnonzero(np.logical_and.reduce([found >= 0 for found in positions.values()]))
    keys = keys.take(kept)
    sources = {name: _Source(specs[name], tables[name], positions[name][kept]) for name in wanted}
    derived = [
        source.rows.column("fingerprint").take(source.positions).to_pylist()
        for source in sources.values()
        if source.spec.is_derived
    ]
    fingerprints: list[tuple[str, ...]] = list(zip(*derived, strict=True)) if derived else [()] * len(kept)
    return Upstream(keys, key_strings(keys, keys.column_names), fingerprints, spec.inputs, sources)


def key_strings(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Sample keys (``<media_id>:<index>``) of rows, from their key columns."""
    parts = [rows.column(name).cast(pa.string()).combine_chunks() for name in key]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, ":")


def find_rows(keys: pa.Table, rows: pa.Table, key: Sequence[str]) -> Positions:
    """For each of ``keys``, the position in ``rows`` of the row with the same value of ``key``; -1 where none is."""
    found = pc.index_in(key_strings(keys, key), value_set=key_strings(rows, key))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _columns_by_table(store: Store, spec: FeatureSpec) -> dict[str, list[str]]:
    """Input columns grouped by table, each checked to exist and to fit the feature's grain."""
    known = store.tables.names()
    wanted: dict[str, list[str]] = {}
    for name in spec.inputs:
        table, _, column = name.partition(".")
        if table not in known:
            raise FeatureError(
                f"input {name!r} names no table",
                where=spec.cls.__name__,
                mend="tables: " + ", ".join(known) + "; a feature's table exists once it was computed",
            )
        source = store.tables.spec(table)
        columns = {c.name for c in source.columns} - {c.name for c in BLOB_COLUMNS} | {source.blob or "media_id"}
        if column not in columns:
            raise FeatureError(
                f"input {name!r} names no column",
                where=spec.cls.__name__,
                mend="columns: " + ", ".join(sorted(columns)),
            )
        if source.grain not in (spec.grain, "media"):
            raise FeatureError(
                f"input {name!r} has grain {source.grain}, the feature has {spec.grain}",
                where=spec.cls.__name__,
                mend=f"read columns of grain {spec.grain} or media",
            )
        wanted.setdefault(table, []).append(column)
    return wanted


def _stored_columns(spec: TableSpec, columns: Sequence[str]) -> list[str]:
    """Key, fingerprint and the asked columns, a blob's references in place of the blob."""
    names = list(spec.key)
    names += ["fingerprint"] if spec.is_derived else []
    for column in columns:
        names += [c.name for c in BLOB_COLUMNS] if column == spec.blob else [column]
    return list(dict.fromkeys(names))


def _image(data: bytes) -> Any:
    """uint8 [3, H, W] whose memory is that of [H, W, 3]: channels last, as convolutions and resizing like it."""
    import torch

    return torch.from_numpy(decode_jpeg(data)).permute(2, 0, 1)


def _depth(data: bytes) -> Any:
    import torch

    return torch.from_numpy(decode_depth16(data))


_DECODERS = {"jpeg": _image, "depth16": _depth}
