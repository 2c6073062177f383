"""How often each value of a column occurs among the samples of a space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import SearchError
from mmfs.search.conditions import AllOf, Condition, Missing
from mmfs.search.plan import exact_columns, plan_where
from mmfs.search.port import PayloadColumn
from mmfs.search.spaces import vector_column
from mmfs.search.spaces_open import OpenSpace
from mmfs.store import conditions as sql
from mmfs.store.conditions import ColumnRef
from mmfs.store.where import parse_where

if TYPE_CHECKING:
    from mmfs.schemas import Grain
    from mmfs.store import Store

MAX_VALUES = 10_000


def facets(
    store: Store,
    space: OpenSpace,
    changed: frozenset[str],
    gone: frozenset[str],
    column: str,
    *,
    where: str | None,
    limit: int,
) -> pa.Table:
    """Values with the number of rows that have them, most frequent first, equals in the order of their text.

    The engine counts where it can do so exactly: whole values in its payload, a condition that it answers, and a build
    that is up to date. Else SQL counts over the embedding table.

    Args:
        changed: Tables that changed since the build.
        gone: Media that were taken down.
        column: ``column`` or ``table.column``.
        where: Only samples that meet this condition.
        limit: At most so many values.

    Returns:
        ``value`` (of the column's type, NULL among them) and ``rows``.

    Raises:
        SearchError: The column cannot be counted by value, or ``limit`` is out of range.
        WhereError: The column or the condition is wrong.
    """
    if not 1 <= limit <= MAX_VALUES:
        raise SearchError(f"limit = {limit}", mend=f"ask for 1 to {MAX_VALUES} values")
    manifest = space.manifest
    grain, catalog = manifest.space.grain, store.tables.catalog()
    table, dot, name = column.rpartition(".")
    reference = catalog.resolve(name, table if dot else None, grain)
    kind = catalog.column(reference).type
    if catalog.column(reference).vector or pa.types.is_binary(kind):
        raise SearchError(f"{reference} holds vectors or bytes", mend="name a column of texts, numbers or truth values")
    plan = plan_where(store, manifest, where, changed)
    payload = exact_columns(manifest, changed).get(reference)
    if (
        payload is None
        or payload.kind == "number"
        or plan.allowed is not None
        or manifest.space.table in changed
        or gone
    ):
        counts = _by_sql(store, manifest.space.table, grain, reference, where, gone)
    else:
        counts = _by_engine(space, payload, plan.condition)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))[:limit]
    return pa.table(
        {"value": pa.array([value for value, _ in ranked], kind), "rows": pa.array([n for _, n in ranked], pa.int64())}
    )


def _by_engine(space: OpenSpace, column: PayloadColumn, condition: Condition | None) -> dict[Any, int]:
    found = space.index.facet(column.key, limit=MAX_VALUES, condition=condition)
    missing: Condition = Missing(column.key)
    nulls = space.index.count(missing if condition is None else AllOf((condition, missing)))
    counts = {bool(value) if column.kind == "truth" else value: rows for value, rows in found.items()}
    return counts | ({None: nulls} if nulls else {})


def _by_sql(
    store: Store, table: str, grain: Grain, column: ColumnRef, where: str | None, gone: frozenset[str]
) -> dict[Any, int]:
    catalog = store.tables.catalog()
    embedded: sql.Condition = sql.Not(sql.IsNull(ColumnRef(table, vector_column(catalog.tables[table]).name)))
    if where is not None:
        embedded = sql.And((parse_where(where, catalog, grain).condition, embedded))
    rows = store.select(grain, where=sql.render(embedded, sql.leaf_sql), columns=[str(column)])
    living = pc.invert(pc.is_in(rows.column("media_id"), value_set=pa.array(sorted(gone), pa.string())))
    counted = rows.filter(living).column(str(column)).value_counts()
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
