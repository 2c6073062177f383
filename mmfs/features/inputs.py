"""What a feature reads: the rows of one shard that it can be computed for, and their input values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import FeatureError
from mmfs.features.feature import FeatureSpec, InputColumn
from mmfs.schemas import BLOB_COLUMNS, GRAIN_KEYS, GRAIN_TABLES, TableSpec
from mmfs.store.packs import BlobRef, refs_of
from mmfs.store.standing import PredictedRows

if TYPE_CHECKING:
    from mmfs.store import Store

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Source:
    """One input table: its rows of the shard, and which of them belongs to each upstream row."""

    spec: TableSpec
    rows: pa.Table
    positions: Positions

    @cached_property
    def previous(self) -> Positions:
        """For each upstream row, the row before in the same media; the row itself where there is none."""
        media = self.rows.column("media_id").combine_chunks()
        same = np.zeros(len(media), np.int64)
        if len(media) > 1:
            same[1:] = np.asarray(pc.equal(media[1:], media[:-1]).to_numpy(zero_copy_only=False))
        return self.positions - same[self.positions]


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
    _inputs: tuple[InputColumn, ...]
    _sources: dict[str, _Source]

    def __len__(self) -> int:
        return int(self.keys.num_rows)

    @property
    def blobs(self) -> dict[str, str]:
        """Inputs whose values lie in packs, with their codecs."""
        specs = {column: self._sources[column.table].spec for column in self._inputs}
        return {column.name: spec.codec or "" for column, spec in specs.items() if column.column == spec.blob}

    def refs(self, name: str, positions: Positions) -> list[BlobRef]:
        """Where the bytes of one of `blobs` lie, for some rows."""
        column = next(column for column in self._inputs if column.name == name)
        return refs_of(self._rows(column, positions))

    def plain(self, positions: Positions) -> dict[str, Any]:
        """Values of the other inputs, as `mmfs.features.feature.Feature.prepare` takes them, on the CPU."""
        blobs = self.blobs
        return {column.name: self._plain(column, positions) for column in self._inputs if column.name not in blobs}

    def _plain(self, column: InputColumn, positions: Positions) -> Any:
        import torch

        values = self._rows(column, positions).column(column.column).combine_chunks()
        if vector := self._sources[column.table].spec.column(column.column).vector:
            flat = values.flatten().to_numpy().reshape(len(positions), vector.dim)
            return torch.from_numpy(flat.astype(np.float32))
        return values.to_pylist()

    def _rows(self, column: InputColumn, positions: Positions) -> pa.Table:
        source = self._sources[column.table]
        places = source.previous if column.is_previous else source.positions
        return source.rows.take(places[positions])


#: Tables that will hold other rows than they do now, by name.
Predicted = Mapping[str, PredictedRows]


def read_upstream(
    store: Store, spec: FeatureSpec, shard: str, *, values: bool, predicted: Predicted | None = None
) -> Upstream:
    """The rows of a shard that a feature can be computed for.

    Args:
        values: Whether input values will be read too; without, only keys and fingerprints are.
        predicted: Rows that stand in for those of the shard, which need not exist yet. They have no values.

    Raises:
        FeatureError: An input names no column, or one of a finer grain than the feature's.
    """
    predicted, stored = predicted or {}, store.tables.names()
    specs = {name: store.tables.spec(name) for name in spec.tables if name in stored and name not in predicted}
    specs |= {name: rows.spec for name, rows in predicted.items()}
    wanted = _columns_by_table(spec, specs, sorted({*stored, *predicted}))
    if all(specs[table].grain != spec.grain for table in wanted):
        # Only media columns are read: the rows are those that define the grain.
        base = GRAIN_TABLES[spec.grain]
        wanted, specs = {base: [], **wanted}, {base: store.tables.spec(base), **specs}

    def rows_of(name: str, columns: Sequence[str]) -> pa.Table:
        if name in predicted:
            return predicted[name].rows
        # Rows of media carry no fingerprint: what is read of them stands for itself.
        read = columns if values or not specs[name].is_derived else []
        return store.tables.read(name, columns=_stored_columns(specs[name], read), shard=shard)

    tables = {name: rows_of(name, columns) for name, columns in wanted.items()}
    own_grain = [name for name in wanted if specs[name].grain == spec.grain]
    keys = tables[own_grain[0]].select([column.name for column in GRAIN_KEYS[spec.grain]])
    positions = {name: find_rows(keys, tables[name], specs[name].key) for name in wanted}
    kept = np.flatnonzero(np.logical_and.reduce([found >= 0 for found in positions.values()]))
    keys = keys.take(kept)
    sources = {name: _Source(specs[name], tables[name], positions[name][kept]) for name in wanted}
    return Upstream(keys, key_strings(keys, keys.column_names), _fingerprints(spec, sources), spec.inputs, sources)


def _fingerprints(spec: FeatureSpec, sources: dict[str, _Source]) -> list[tuple[str, ...]]:
    """For each upstream row: the fingerprint of its row in every table, the values read where rows have none, and the
    fingerprint of the row before where that is read."""
    derived = [
        source.rows.column("fingerprint").take(source.positions).to_pylist()
        for source in sources.values()
        if source.spec.is_derived
    ]
    plain = [column for column in spec.inputs if not sources[column.table].spec.is_derived]
    if plain:
        values = [
            sources[column.table].rows.column(column.column).take(sources[column.table].positions).to_pylist()
            for column in plain
        ]
        derived.append([repr(row) for row in zip(*values, strict=True)])
    for table in dict.fromkeys(column.table for column in spec.inputs if column.is_previous):
        source = sources[table]
        before = source.rows.take(source.previous)
        # With its key: another row may come between, whose fingerprint is the same.
        derived.append(
            pc.binary_join_element_wise(
                key_strings(before, source.spec.key), before.column("fingerprint").combine_chunks(), "="
            ).to_pylist()
        )
    rows = len(next(iter(sources.values())).positions)
    return list(zip(*derived, strict=True)) if derived else [()] * rows


def key_strings(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Sample keys (``<media_id>:<index>``) of rows, from their key columns."""
    parts = [rows.column(name).cast(pa.string()).combine_chunks() for name in key]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, ":")


def find_rows(keys: pa.Table, rows: pa.Table, key: Sequence[str]) -> Positions:
    """For each of ``keys``, the position in ``rows`` of the row with the same value of ``key``; -1 where none is."""
    found = pc.index_in(key_strings(keys, key), value_set=key_strings(rows, key))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _columns_by_table(spec: FeatureSpec, specs: Mapping[str, TableSpec], known: Sequence[str]) -> dict[str, list[str]]:
    """Input columns grouped by table, each checked to exist and to fit the feature's grain."""
    wanted: dict[str, list[str]] = {}
    for asked in spec.inputs:
        name, table, column = asked.name, asked.table, asked.column
        if table not in known:
            raise FeatureError(
                f"input {name!r} names no table",
                where=spec.cls.__name__,
                mend="tables: " + ", ".join(known) + "; a feature's table exists once it was computed",
            )
        source = specs[table]
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
        if asked.is_previous and (source.grain == "media" or not source.is_derived):
            raise FeatureError(
                f"input {name!r}: rows of {table} have no row before them in their media",
                where=spec.cls.__name__,
                mend="read the row before of frames, captions, audio windows, or features of those",
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
