"""What must hold of an index: its points are the rows of its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa

from mmfs.search.engines import engine_of
from mmfs.search.manifest import Manifest, has_manifest, read_manifest
from mmfs.search.port import INDEX, MEDIA_ID, ROW_HASH, Engine, Index, SpaceSpec
from mmfs.search.spaces import read_points, recorded_fingerprint, shard_source
from mmfs.store.problem import Problem

if TYPE_CHECKING:
    from mmfs.store import Store


def index_differences(store: Store, table: str, shard: str, *, engine: Engine | None = None) -> list[Problem]:
    """Where the published index of a space and its table differ in one shard, in words. Reads both in full.

    Args:
        table: Embedding table.
        shard: The shard.
        engine: Default: the one of the store's settings.
    """
    name = space_of(store, table, shard)
    if name is None:
        return []
    engine = engine or engine_of(store)
    manifest = published_manifest(store, engine, name)
    if manifest is None:
        return [unpublished(store, table, [shard])]
    with opened_build(engine, manifest) as index:
        return shard_differences(store, manifest.space, index, shard)


def space_of(store: Store, table: str, shard: str) -> str | None:
    """Name of the space of the model that computed a shard's rows; None where there are none."""
    if table not in store.tables or not store.tables.state(table, shard).files:
        return None
    return f"{table}-{recorded_fingerprint(store, table, shard)[:12]}"


def published_manifest(store: Store, engine: Engine, name: str) -> Manifest | None:
    """What the build of a space that answers was made of; None where there is none."""
    build = engine.published(name).current
    if build is None or not has_manifest(store.objects, name, build):
        return None
    return read_manifest(store.objects, name, build)


def unpublished(store: Store, table: str, shards: Iterable[str]) -> Problem:
    """The problem of shards whose space has no published build."""
    there = store.tables.shards(table)
    rows = sum(there.get(shard, 0) for shard in shards)
    return Problem(f"{table} has {rows} rows and its index is not published", rows)


@contextmanager
def opened_build(engine: Engine, manifest: Manifest) -> Iterator[Index]:
    """A finished build of which nothing is lost.

    Raises:
        DamagedBuildError, MissingObjectError, IntegrityError: It is damaged.
    """
    engine.check(manifest.space, manifest.build_id)
    index = engine.open(manifest.space, manifest.build_id)
    try:
        yield index
    finally:
        index.close()


def shard_differences(store: Store, space: SpaceSpec, index: Index, shard: str) -> list[Problem]:
    """Where an index and the table of its space differ in one shard, in words. Reads both in full."""
    table = space.table
    batch = read_points(store, space, shard_source(store, space, shard)).batch
    found = {point.id: point.row_hash for point in index.scroll(shard=shard)}
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
