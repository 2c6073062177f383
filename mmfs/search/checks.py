"""What must hold of an index: its points are the rows of its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa

from mmfs.search.engines import engine_of
from mmfs.search.inspect_build import other_vectors
from mmfs.search.manifest import Manifest, read_manifest
from mmfs.search.pointer import read_published
from mmfs.search.port import INDEX, MEDIA_ID, ROW_HASH, Engine, Index, Published, SpaceSpec
from mmfs.search.spaces import fingerprint_in, read_points, recorded_fingerprint, shard_source
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
    with published_index(store, engine or engine_of(store), name) as found:
        if found is None:
            return [unpublished(store, table, [shard])]
        manifest, index = found
        return shard_differences(store, manifest.space, index, shard)


def space_of(store: Store, table: str, shard: str) -> str | None:
    """Name of the space of the model that computed a shard's rows; None where there are none."""
    if table not in store.tables or not store.tables.state(table, shard).files:
        return None
    return _space_name(table, recorded_fingerprint(store, table, shard))


def _space_name(table: str, fingerprint: str) -> str:
    return f"{table}-{fingerprint[:12]}"


def spaces_in_use(store: Store, table: str) -> frozenset[str]:
    """Names of the spaces of the models that computed a table's rows: those that runs build. Reads a footer a shard.

    Raises:
        StoreError: One cannot be read.
    """
    found = (fingerprint_in(info) for info in store.tables.commit_infos(table).values())
    return frozenset(_space_name(table, fingerprint) for fingerprint in found if fingerprint is not None)


def unpublished(store: Store, table: str, shards: Iterable[str]) -> Problem:
    """The problem of shards whose space has no published build."""
    there = store.tables.shards(table)
    rows = sum(there.get(shard, 0) for shard in shards)
    return Problem(f"{table} has {rows} rows and its index is not published", rows)


@contextmanager
def published_index(
    store: Store, engine: Engine, name: str, *, deep: bool = False
) -> Iterator[tuple[Manifest, Index] | None]:
    """The build of a space that answers, and what it was made of; None where there is none.

    Args:
        deep: Compare its bytes with their checksums first (see `Engine.check`).

    Raises:
        DamagedBuildError, MissingObjectError, IntegrityError: It is damaged.
    """

    def read(published: Published) -> tuple[Manifest, Index] | None:
        if published.current is None:
            return None
        manifest = read_manifest(store.objects, name, published.current)
        return manifest, checked_index(engine, manifest, deep=deep)

    found = read_published(engine, name, read)
    try:
        yield found
    finally:
        if found is not None:
            found[1].close()


def checked_index(engine: Engine, manifest: Manifest, *, deep: bool = False) -> Index:
    """A finished build of which nothing is lost, opened.

    Raises:
        DamagedBuildError, MissingObjectError, IntegrityError: It is damaged.
    """
    engine.check(manifest.space, manifest.build_id, deep=deep)
    return engine.open(manifest.space, manifest.build_id)


def shard_differences(store: Store, space: SpaceSpec, index: Index, shard: str, *, deep: bool = False) -> list[Problem]:
    """Where an index and the table of its space differ in one shard, in words. Reads ids and states of both in full.

    Args:
        deep: Compare every vector, too.
    """
    table = space.table
    batch = read_points(store, space, shard_source(store, space, shard)).batch
    found = {point.id: point.row_hash for point in index.scroll(shard=shard)}
    wanted = [UUID(bytes=raw) for raw in batch.column("id").to_pylist()]
    hashes = dict(zip(wanted, batch.column(ROW_HASH).to_pylist(), strict=True))
    others = {one for one in other_vectors(index, batch) if found.get(one) == hashes[one]} if deep else set()
    sides: dict[str, list[UUID]] = {
        f"of {len(wanted)} rows are not in the index of {table}": [one for one in wanted if one not in found],
        f"of {len(wanted)} rows are in the index of {table} in an older state": [
            one for one in wanted if one in found and found[one] != hashes[one]
        ],
        f"of {len(wanted)} rows are in the index of {table} with another vector": [
            one for one in wanted if one in others
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
