"""What must hold of an index: its points are the rows of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa

from mmfs.search.engines import engine_of
from mmfs.search.manifest import has_manifest, read_manifest
from mmfs.search.port import INDEX, MEDIA_ID, ROW_HASH, Engine
from mmfs.search.spaces import read_points, recorded_fingerprint, shard_source
from mmfs.store.problem import Problem

if TYPE_CHECKING:
    from mmfs.store import Store


def index_differences(store: Store, table: str, shard: str, *, engine: Engine | None = None) -> list[Problem]:
    """Where the published index of a space and its table differ in one shard, in words. Reads both in full.

    Args:
        table: Embedding table.
        engine: Default: the one of the store's settings.
    """
    if table not in store.tables or not store.tables.state(table, shard).files:
        return []
    engine = engine or engine_of(store)
    name = f"{table}-{recorded_fingerprint(store, table, shard)[:12]}"
    build = engine.published(name).current
    if build is None or not has_manifest(store.objects, name, build):
        rows = store.tables.shards(table).get(shard, 0)
        return [Problem(f"{table} has {rows} rows and its index is not published", rows)]
    space = read_manifest(store.objects, name, build).space
    batch = read_points(store, space, shard_source(store, space, shard)).batch
    index = engine.open(space, build)
    try:
        found = {point.id: point.row_hash for point in index.scroll(shard=shard)}
    finally:
        index.close()
    wanted = [UUID(bytes=raw) for raw in batch.column("id").to_pylist()]
    hashes = dict(zip(wanted, batch.column(ROW_HASH).to_pylist(), strict=True))
    sides: dict[str, list[UUID]] = {
        f"of {len(wanted)} rows are not in the index of {table}": [one for one in wanted if one not in found],
        f"of {len(wanted)} rows are in the index of {table} in an older state": [
            one for one in wanted if one in found and found[one] != hashes[one]
        ],
        f"points in the index of {table} are of rows that are gone": [one for one in found if one not in hashes],
    }
    keys = dict(zip(wanted, _keys(batch), strict=True))
    return [
        Problem.of([keys.get(one, f"point {one}") for one in ids], f"{len(ids)} {what}")
        for what, ids in sides.items()
        if ids
    ]


def _keys(batch: pa.RecordBatch) -> list[str]:
    """Sample keys of points."""
    rows = zip(batch.column(MEDIA_ID).to_pylist(), batch.column(INDEX).to_pylist(), strict=True)
    return [media if index is None else f"{media}:{index}" for media, index in rows]
