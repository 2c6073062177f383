"""A table's spec, kept in its own Delta schema and properties: readers need no registry of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa

from mmfs.errors import StoreError
from mmfs.schemas import VECTOR_DIM_KEY, VECTOR_DTYPE_KEY, Column, Grain, TableSpec
from mmfs.store.vectors import vector_of

if TYPE_CHECKING:
    from deltalake.table import Metadata

_KEY, _GRAIN, _BLOB, _CODEC = "mmfs.key", "mmfs.grain", "mmfs.blob", "mmfs.codec"


def configuration_of(spec: TableSpec, *, keep_log_days: int) -> dict[str, str]:
    """The Delta properties of a new table."""
    properties = {
        _KEY: ",".join(spec.key),
        _GRAIN: spec.grain,
        _BLOB: spec.blob,
        _CODEC: spec.codec,
        # Pins read by file list, but old versions are also readable by number for as long as the log is kept.
        "delta.logRetentionDuration": f"interval {keep_log_days} days",
    }
    return {name: value for name, value in properties.items() if value is not None}


def spec_of(name: str, schema: pa.Schema, metadata: Metadata) -> TableSpec:
    """The spec that a Delta table carries.

    Raises:
        StoreError: The table was not made by mmfs.
    """
    properties = metadata.configuration
    if _KEY not in properties:
        raise StoreError(f"table {name} was not made by mmfs", mend="keep other tables out of the store")
    return TableSpec(
        name,
        metadata.description or "",
        tuple(properties[_KEY].split(",")),
        tuple(_column(field) for field in schema if field.name != "shard"),
        grain=cast("Grain | None", properties.get(_GRAIN)),
        blob=properties.get(_BLOB),
        codec=properties.get(_CODEC),
    )


def changed_vectors(kept: TableSpec, wanted: TableSpec) -> dict[str, dict[str, str]]:
    """Metadata of the vector columns whose dimension or dtype differs: column -> new metadata.

    Raises:
        StoreError: The specs differ in anything else.
    """
    if _shape(kept) != _shape(wanted):
        raise StoreError(
            f"table {wanted.name} exists with other columns or another key",
            mend="rename the feature's table, or remove the old one",
        )
    changes = {}
    for old, new in zip(kept.columns, wanted.columns, strict=True):
        if old.vector != new.vector and new.vector:
            changes[new.name] = {
                VECTOR_DIM_KEY.decode(): str(new.vector.dim),
                VECTOR_DTYPE_KEY.decode(): new.vector.dtype,
            }
    return changes


def _column(field: pa.Field) -> Column:
    metadata = field.metadata or {}
    unit = metadata.get(b"unit")
    comment = metadata.get(b"comment", b"").decode()
    return Column(field.name, field.type, comment, unit.decode() if unit else None, vector_of(field))


def _shape(spec: TableSpec) -> tuple[object, ...]:
    columns = tuple((column.name, column.type, column.vector is None) for column in spec.columns)
    return (spec.key, spec.grain, spec.blob, spec.codec, columns)
