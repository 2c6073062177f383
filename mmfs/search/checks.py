"""What must hold of an index: its points are the rows of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from mmfs.search.engines import engine_of
from mmfs.search.manifest import has_manifest, read_manifest
from mmfs.search.points import shard_digests
from mmfs.search.port import ROW_HASH, Engine, ShardDigest, Stored
from mmfs.search.spaces import read_points, recorded_fingerprint, shard_source

if TYPE_CHECKING:
    from mmfs.store import Store


def index_differences(store: Store, table: str, shard: str, *, engine: Engine | None = None) -> list[str]:
    """Where the published index of a space and its table differ in one shard, in words. Reads both in full.

    Args:
        table: Embedding table.
        engine: Default: the one of the store's settings.
    """
    if table not in store.tables.names() or not store.tables.state(table, shard).files:
        return []
    engine = engine or engine_of(store)
    name = f"{table}-{recorded_fingerprint(store, table, shard)[:12]}"
    build = engine.published(name).current
    if build is None or not has_manifest(store.objects, name, build):
        return [f"{table} has rows but no published index"]
    space = read_manifest(store.objects, name, build).space
    batch = read_points(store, space, shard_source(store, space, shard)).batch
    ids, hashes = batch.column("id").to_pylist(), batch.column(ROW_HASH).to_pylist()
    wanted = shard_digests(Stored(UUID(bytes=raw), shard, mark) for raw, mark in zip(ids, hashes, strict=True))
    index = engine.open(space, build)
    try:
        found = shard_digests(index.scroll(shard=shard))
    finally:
        index.close()
    none = ShardDigest(0, "")
    table_side, index_side = wanted.get(shard, none), found.get(shard, none)
    if table_side.rows != index_side.rows:
        return [f"the index of {table} has {index_side.rows} points for {table_side.rows} rows"]
    if table_side != index_side:
        return [f"the index of {table} has {index_side.rows} points, some of them in an older state"]
    return []
