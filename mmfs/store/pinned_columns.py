"""What a user calls ``table.column``, resolved once: which stored column, of what kind, at which grain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import PinError, StoreError
from mmfs.schemas import Grain, TableSpec
from mmfs.store.pin import PinnedColumn

if TYPE_CHECKING:
    from mmfs.store.tables import Tables

#: From fine to coarse: the first of these that a column has is a pin's default grain.
GRAINS: tuple[Grain, ...] = ("frame", "audio_window", "caption", "media")


def resolve(tables: Tables, name: str) -> PinnedColumn:
    """The column behind ``table.column``.

    Raises:
        PinError: No such table or column, or nothing that a sample can have.
    """
    table, dot, field = name.partition(".")
    if not dot or table not in tables.names():
        raise PinError(
            f"{name!r} names no column of a table",
            mend="write table.column; tables are " + ", ".join(_sampled(tables)),
        )
    spec = tables.spec(table)
    if spec.grain is None:
        raise PinError(
            f"table {table} holds no columns of samples", where=name, mend="tables are " + ", ".join(_sampled(tables))
        )
    if field == spec.blob:
        return PinnedColumn(table=table, field=field, grain=spec.grain, kind="blob", codec=spec.codec)
    try:
        column = spec.column(field)
    except StoreError as error:
        raise PinError(f"table {table} has no column {field!r}", mend="it has " + ", ".join(_fields(spec))) from error
    if column.vector:
        dtype = "<f2" if column.vector.dtype == "float16" else "<f4"
        return PinnedColumn(
            table=table, field=field, grain=spec.grain, kind="vector", dtype=dtype, dim=column.vector.dim
        )
    if column.type == pa.string() and field != "shard":
        return PinnedColumn(table=table, field=field, grain=spec.grain, kind="text")
    number = _DTYPES.get(column.type)
    if number is None:
        raise PinError(f"{name} is {column.type}, which no batch can hold", mend="pin numbers, texts, vectors, blobs")
    return PinnedColumn(table=table, field=field, grain=spec.grain, kind="scalar", dtype=number)


def finest(sources: Mapping[str, PinnedColumn]) -> Grain:
    """The finest grain among columns."""
    return min((source.grain for source in sources.values()), key=GRAINS.index)


def check_broadcast(sources: Mapping[str, PinnedColumn], grain: Grain) -> None:
    """Raise a PinError unless every column has the sample's grain or is coarser."""
    for name, source in sources.items():
        if source.grain != grain and GRAINS.index(source.grain) <= GRAINS.index(grain):
            raise PinError(
                f"{name} has a value for each {source.grain}, a sample is one {grain}",
                mend=f"pin with grain={source.grain!r}, or leave the column out",
            )


def _sampled(tables: Tables) -> list[str]:
    return [name for name in tables.names() if tables.spec(name).grain is not None]


def _fields(spec: TableSpec) -> list[str]:
    hidden = {"pack", "offset", "length", "crc32"} if spec.blob else set()
    return [*([spec.blob] if spec.blob else []), *(c.name for c in spec.columns if c.name not in hidden)]


_DTYPES: dict[pa.DataType, str] = {
    pa.bool_(): "?",
    pa.int8(): "i1",
    pa.int16(): "<i2",
    pa.int32(): "<i4",
    pa.int64(): "<i8",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
}
