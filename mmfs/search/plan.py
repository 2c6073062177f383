"""How a WHERE is answered: inside the engine where the payload can, by SQL over the tables where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from mmfs.search.conditions import AllOf, Condition, Ids
from mmfs.search.filters import Columns, split
from mmfs.search.manifest import Manifest
from mmfs.search.points import point_id
from mmfs.store.conditions import ColumnRef, leaf_sql, render
from mmfs.store.where import parse_where

if TYPE_CHECKING:
    from mmfs.store import Store

#: Up to here, what SQL found goes into the engine's filter; beyond, hits are fetched until enough are among it.
MAX_IDS = 100_000


@dataclass(frozen=True)
class Plan:
    """How a WHERE is answered.

    Attributes:
        condition: What the engine filters by; None: nothing.
        allowed: Hits must be among these; None: any hit may be.
        note: The plan in words, shown in ``hits.info``.
    """

    condition: Condition | None = None
    allowed: frozenset[UUID] | None = None
    note: str = "no condition"


def plan_where(store: Store, manifest: Manifest, where: str | None, changed: frozenset[str]) -> Plan:
    """Plan a WHERE.

    Args:
        changed: Tables that changed since the build: columns of theirs are read by SQL.

    Raises:
        WhereError: The condition is wrong; it names the token and the columns that exist.
    """
    if where is None:
        return Plan()
    grain = manifest.space.grain
    parsed = parse_where(where, store.tables.catalog(), grain)
    parts = split(parsed.condition, exact_columns(manifest, changed))
    if parts.rest is None:
        return Plan(parts.pushed, note="condition in the index")
    text = render(parts.rest, leaf_sql)
    found = store.select(grain, where=text)
    keys = found.column("media_id").to_pylist()
    if grain != "media":
        keys = [f"{media}:{index}" for media, index in zip(keys, found.column(1).to_pylist(), strict=True)]
    ids = frozenset(point_id(store.namespace, key) for key in keys)
    both = "partly in the index, " if parts.pushed is not None else ""
    if len(ids) > MAX_IDS:
        return Plan(parts.pushed, ids, f"condition {both}by SQL: hits checked against {len(ids):,} samples")
    wanted = Ids(ids) if parts.pushed is None else AllOf((parts.pushed, Ids(ids)))
    return Plan(wanted, None, f"condition {both}by SQL: searched among {len(ids):,} samples")


def exact_columns(manifest: Manifest, changed: frozenset[str]) -> Columns:
    """Columns that the build's payload holds exactly as the tables do."""
    return {
        ColumnRef(column.table, column.column): column
        for column in manifest.space.payload
        if column.table not in changed and column.key not in manifest.inexact
    }
