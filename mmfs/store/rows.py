"""Rows as a table wants them: typed, complete, sorted by key, no key twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from mmfs.errors import StoreError
from mmfs.schemas import Column, TableSpec, VectorType
from mmfs.store.arrays import as_bools, as_numpy
from mmfs.store.vectors import pack


def canonical_rows(spec: TableSpec, rows: pa.Table) -> pa.Table:
    """The rows as they are stored: columns of the spec in its order (without ``shard``), sorted by key, vectors packed.

    Args:
        rows: In any order; missing nullable columns become null; vectors as fixed-size lists or packed.

    Raises:
        StoreError: A column is unknown or of a wrong type, a key is missing, null or there twice.
    """
    known = {column.name for column in spec.columns} | {"shard"}
    unknown = [name for name in rows.column_names if name not in known]
    if unknown:
        raise StoreError(
            f"table {spec.name} has no column {unknown[0]!r}",
            mend="it has " + ", ".join(column.name for column in spec.columns),
        )
    for name in spec.key:
        if name not in rows.column_names or rows.column(name).null_count:
            raise StoreError(f"rows of {spec.name} lack a value of their key {name!r}", mend="set it on every row")
    rows = _sorted(spec, rows)
    _check_unique(spec, rows)
    columns = [_stored(spec, column, rows) for column in spec.columns]
    return pa.Table.from_arrays(columns, schema=stored_schema(spec))


def stored_schema(spec: TableSpec) -> pa.Schema:
    """The schema of a table's files: its columns without the partition column."""
    return pa.schema([column.field() for column in spec.columns])


def public_schema(spec: TableSpec, columns: list[str] | None = None) -> pa.Schema:
    """The schema readers see: vectors as fixed-size lists, ``shard`` last."""
    names = columns if columns is not None else [*(column.name for column in spec.columns), "shard"]
    fields = []
    for name in names:
        column = spec.column(name)
        field = column.field()
        fields.append(field.with_type(column.vector.arrow) if column.vector else field)
    return pa.schema(fields)


def spec_as_written(spec: TableSpec, rows: pa.Table) -> TableSpec:
    """The spec by which rows of a file were written: without columns that came later, with vectors of their width.

    Args:
        rows: As `read_parquet` gives them: vectors as fixed-size lists.
    """
    columns = [column for column in spec.columns if column.name in rows.column_names]
    return replace(spec, columns=tuple(_as_written(column, rows) for column in columns))


def _as_written(column: Column, rows: pa.Table) -> Column:
    kind = rows.schema.field(column.name).type
    if not column.vector or not pa.types.is_fixed_size_list(kind):
        return column
    return replace(
        column, vector=VectorType(kind.list_size, "float16" if kind.value_type == pa.float16() else "float32")
    )


def _stored(spec: TableSpec, column: Column, rows: pa.Table) -> pa.ChunkedArray:
    if column.name not in rows.column_names:
        return pa.chunked_array([pa.nulls(rows.num_rows, column.type)])
    values = rows.column(column.name)
    try:
        if column.vector and pa.types.is_fixed_size_list(values.type):
            return pack(values, column.vector)
        if values.type == column.type:
            return values
        return values.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            f"{spec.name}.{column.name} cannot hold {values.type}: {error}", mend=f"hand over {column.type}"
        ) from error
    except StoreError as error:
        raise StoreError(error.what, where=f"{spec.name}.{column.name}", mend=error.mend) from error


def _sorted(spec: TableSpec, rows: pa.Table) -> pa.Table:
    keys = [spec.column(name) for name in spec.key]
    try:
        by = pa.Table.from_arrays([rows.column(key.name).cast(key.type) for key in keys], spec.key)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(f"key of {spec.name}: {error}", mend="hand over the types of the spec") from error
    import pyarrow.compute as pc  # 35 ms, which those who only read do without

    order = pc.sort_indices(by, sort_keys=[(key.name, "ascending") for key in keys])
    in_order = np.array_equal(as_numpy(order), np.arange(len(order)))
    return rows if in_order else rows.take(order)


def _check_unique(spec: TableSpec, rows: pa.Table) -> None:
    if rows.num_rows < 2:
        return
    import pyarrow.compute as pc

    same = None
    for name in spec.key:
        column = rows.column(name).combine_chunks()
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
        same = equal if same is None else pc.and_(same, equal)
    if same is None or not pc.any(same).as_py():
        return
    at = int(as_bools(same).argmax())
    key = ", ".join(str(rows.column(name)[at].as_py()) for name in spec.key)
    raise StoreError(f"key ({key}) of {spec.name} is there twice", mend="rows of a table differ in their key")
