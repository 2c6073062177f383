"""Samples of a grain that fit a condition, in canonical order, with columns of any table joined to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import SqlError, WhereError
from mmfs.schemas import GRAIN_KEYS, GRAIN_TABLES, Grain
from mmfs.store.conditions import ColumnRef
from mmfs.store.names import Catalog
from mmfs.store.sql import Sql
from mmfs.store.vectors import unpack
from mmfs.store.where import parse_where

if TYPE_CHECKING:
    from mmfs.store.store import Store


def select(
    store: Store,
    grain: Grain,
    *,
    where: str | None = None,
    columns: Sequence[str] = (),
    versions: Mapping[str, int] | None = None,
) -> pa.Table:
    """The samples of a grain: key columns and ``shard``, sorted by (shard, key), then the columns asked for.

    Args:
        where: SQL condition; unqualified names as in `mmfs.store.names`.
        columns: ``table.column`` or unqualified; each comes under the name it was asked by, null where it is missing.
        versions: Delta version by table; others are read as they are now.

    Raises:
        WhereError: The condition or a column is wrong; it names the token and what exists.
    """
    base = GRAIN_TABLES[grain]
    keys = [key.name for key in GRAIN_KEYS[grain]]
    versions = versions or {}
    if where is None and not columns:
        return store.tables.read(base, columns=[*keys, "shard"], version=versions.get(base))
    catalog = store.tables.catalog()
    asked = {name: _column(name, catalog, grain) for name in columns if name not in {*keys, "shard"}}
    condition = parse_where(where, catalog, grain) if where is not None else None
    foreign = condition.foreign if condition else frozenset()
    read = (
        {base}
        | {column.table for column in asked.values()}
        | {column.table for column in (condition.columns if condition else ())}
    )
    text = _query(
        base,
        keys,
        asked,
        joins=[_join(base, table, catalog, keys) for table in sorted(read - foreign - {base})],
        where=condition.sql() if condition else None,
    )
    try:
        found = Sql(store.tables).run(text, frozenset(read), versions)
    except SqlError as error:
        raise WhereError(error.what, where=where, mend="mend the condition; `mmfs tables` lists columns") from error
    for name, column in asked.items():
        vector = catalog.column(column).vector
        if vector and pa.types.is_binary(found.schema.field(name).type):
            found = found.set_column(found.column_names.index(name), name, unpack(found.column(name), vector))
    return found


def _column(name: str, catalog: Catalog, grain: Grain) -> ColumnRef:
    table, dot, column = name.rpartition(".")
    found = catalog.resolve(column, table if dot else None, grain)
    if not catalog.is_joined(found.table, grain):
        raise WhereError(
            f"a {grain} may have many rows of {found.table}", where=name, mend="ask for it at its own grain"
        )
    return found


def _join(base: str, table: str, catalog: Catalog, keys: Sequence[str]) -> str:
    shared = keys if catalog.tables[table].grain == catalog.tables[base].grain else ["media_id"]
    on = " AND ".join(f'"{base}"."{key}" = "{table}"."{key}"' for key in shared)
    return f'LEFT JOIN "{table}" ON {on}'


def _query(
    base: str, keys: Sequence[str], asked: Mapping[str, ColumnRef], *, joins: Sequence[str], where: str | None
) -> str:
    own = [f'"{base}"."{key}" AS "{key}"' for key in (*keys, "shard")]
    others = [f'"{column.table}"."{column.column}" AS "{name}"' for name, column in asked.items()]
    order = ", ".join(f'"{base}"."{key}"' for key in ("shard", *keys))
    return " ".join(
        [
            f"SELECT {', '.join([*own, *others])}",
            f'FROM "{base}"',
            *joins,
            *([f"WHERE {where}"] if where else []),
            f"ORDER BY {order}",
        ]
    )
