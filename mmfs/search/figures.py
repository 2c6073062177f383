"""How an index stands in one shard, in a few numbers that can be drawn side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmfs.store import Store


def index_figures(store: Store, shard: str) -> dict[str, float]:
    """Points of a shard in each search space, and by how many rows their tables have more or fewer by now."""
    rows = store.tables.read("qdrant_index", columns=["space", "rows"], shard=shard)
    points = dict(zip(rows.column("space").to_pylist(), rows.column("rows").to_pylist(), strict=True))
    stored = {space: store.tables.shards(space).get(shard, 0) for space in points if space in store.tables}
    return {
        **{f"points_{space}": count for space, count in points.items()},
        "lag_rows": sum(abs(stored.get(space, 0) - count) for space, count in points.items()),
    }
