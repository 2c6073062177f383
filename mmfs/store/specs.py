"""A table's spec, kept in its own Delta schema and properties: readers need no registry of features."""

from __future__ import annotations

from dataclasses import dataclass
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
        # The library cleans without knowing pins, whose versions are to open by number: vacuum does (log_cleanup.py).
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


@dataclass(frozen=True)
class SpecChange:
    """What a table must adopt so that rows of a changed feature fit it.

    Attributes:
        added: Columns to add; rows written before have null there.
        vectors: New metadata of the vector columns whose dimension or dtype differs.
    """

    added: tuple[Column, ...]
    vectors: dict[str, dict[str, str]]


def change_to(kept: TableSpec, wanted: TableSpec) -> SpecChange:
    """What turns the table that is kept into one that the wanted rows fit.

    Columns that are not wanted any more stay, so that old versions and pins keep their meaning; new rows have null
    there.

    Raises:
        StoreError: The specs differ in key, grain, blob or the type of a column, or a vector would go or come.
    """
    old, new = ({column.name: column for column in spec.columns} for spec in (kept, wanted))
    fits = _identity(kept) == _identity(wanted) and all(
        (old[name].type, old[name].vector is None) == (new[name].type, new[name].vector is None)
        for name in old.keys() & new.keys()
    )
    moved = [(old.get(name) or new[name]) for name in old.keys() ^ new.keys()]
    if not fits or any(column.vector for column in moved):
        raise StoreError(
            f"table {wanted.name} exists with other columns or another key",
            mend="rename the feature's table, or remove the old one",
        )
    vectors = {
        name: {VECTOR_DIM_KEY.decode(): str(column.vector.dim), VECTOR_DTYPE_KEY.decode(): column.vector.dtype}
        for name, column in new.items()
        if column.vector and name in old and column.vector != old[name].vector
    }
    return SpecChange(tuple(column for name, column in new.items() if name not in old), vectors)


def _column(field: pa.Field) -> Column:
    metadata = field.metadata or {}
    unit = metadata.get(b"unit")
    comment = metadata.get(b"comment", b"").decode()
    return Column(field.name, field.type, comment, unit.decode() if unit else None, vector_of(field))


def _identity(spec: TableSpec) -> tuple[object, ...]:
    return (spec.key, spec.grain, spec.blob, spec.codec)
