"""What a user calls ``table.column``, resolved once: which stored column, of what kind, at which grain.

Live columns come resolved (`LiveColumn`), because what features there are is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import PinError, StoreError
from mmfs.schemas import Grain, TableSpec
from mmfs.store.pin import LiveColumn, PinnedColumn

if TYPE_CHECKING:
    from mmfs.store.tables import Tables

#: From fine to coarse: the first of these that a column has is a pin's default grain.
GRAINS: tuple[Grain, ...] = ("frame", "audio_window", "caption", "media")


def resolve(tables: Tables, name: str) -> PinnedColumn:
    """The stored column behind ``table.column``.

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
    return column_of(spec, field)


def column_of(spec: TableSpec, field: str) -> PinnedColumn:
    """A column of a table that has a grain.

    Raises:
        PinError: There is none of this name, or it is nothing that a batch can hold.
    """
    assert spec.grain is not None
    table, grain = spec.name, spec.grain
    if field == spec.blob:
        return PinnedColumn(table=table, field=field, grain=grain, kind="blob", codec=spec.codec)
    try:
        column = spec.column(field)
    except StoreError as error:
        raise PinError(f"table {table} has no column {field!r}", mend="it has " + ", ".join(_fields(spec))) from error
    if column.vector:
        dtype = "<f2" if column.vector.dtype == "float16" else "<f4"
        return PinnedColumn(table=table, field=field, grain=grain, kind="vector", dtype=dtype, dim=column.vector.dim)
    if column.type == pa.string() and field != "shard":
        return PinnedColumn(table=table, field=field, grain=grain, kind="text")
    number = _DTYPES.get(column.type)
    if number is None:
        raise PinError(
            f"{table}.{field} is {column.type}, which no batch can hold", mend="pin numbers, texts, vectors, blobs"
        )
    return PinnedColumn(table=table, field=field, grain=grain, kind="scalar", dtype=number)


@dataclass(frozen=True)
class Need:
    """What a sample must have of a table so that it has a column.

    Attributes:
        table, grain: The table.
        carrier: The stored column whose nulls say that the value is missing.
        is_previous: Whether the row before is read as well.
    """

    table: str
    grain: Grain
    carrier: str
    is_previous: bool = False


def stored_need(source: PinnedColumn) -> Need:
    """What a stored column needs: its value.

    For vectors that is the key, which has no nulls: a table holds no row for a vector that could not be computed, and
    reading all vectors to see so would make pinning as dear as an epoch.
    """
    carrier = {"vector": "media_id", "blob": "pack"}.get(source.kind, source.field)
    return Need(source.table, source.grain, carrier)


def live_needs(live: LiveColumn, sources: Mapping[str, PinnedColumn]) -> tuple[Need, ...]:
    """What a live column needs: a row in every table that it is computed from, as when a feature is computed.

    A number or text that is null there is an input like any other.
    """
    found = []
    for one in live.inputs:
        source = sources[one.column]
        carrier = "pack" if source.kind == "blob" else "media_id"
        found.append(Need(source.table, source.grain, carrier, one.is_previous))
    return tuple(dict.fromkeys(found))


def finest(sources: Iterable[PinnedColumn]) -> Grain:
    """The finest grain among columns."""
    return min((source.grain for source in sources), key=GRAINS.index)


def check_broadcast(sources: Mapping[str, PinnedColumn], grain: Grain) -> None:
    """Raise a PinError unless every column has the sample's grain or is coarser."""
    for name, source in sources.items():
        if source.grain != grain and GRAINS.index(source.grain) <= GRAINS.index(grain):
            raise PinError(
                f"{name} has a value for each {source.grain}, a sample is one {grain}",
                mend=f"pin with grain={source.grain!r}, or leave the column out",
            )


def check_live(live: Mapping[str, LiveColumn], sources: Mapping[str, PinnedColumn], grain: Grain) -> None:
    """Raise a PinError where a live column would be computed from rows that may not belong together.

    Of a caption's tables, a frame gets one row each; that it is the same row in all of them is sure of one table only.
    """
    for name, one in live.items():
        own = {source.table for source in (sources[i.column] for i in one.inputs) if source.grain == one.value.grain}
        if one.value.grain not in (grain, "media") and len(own) != 1:
            raise PinError(
                f"{name} is computed for each {one.value.grain}, from {len(own)} tables of those, and a sample is one "
                f"{grain}",
                mend=f"pin with grain={one.value.grain!r}, or compute {one.value.table} and pin the stored column",
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
