"""What changed in a shard since a build: by row hash, so that equal rows count as unchanged whatever wrote them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import MissingObjectError
from mmfs.search.manifest import ShardEntry, points_table, read_points_file, write_points
from mmfs.search.points import shard_digests
from mmfs.search.port import ROW_HASH, DamagedBuildError, SpaceSpec, Stored
from mmfs.search.spaces import ShardSource, read_points

if TYPE_CHECKING:
    from mmfs.store import Store

#: Up to this share of a shard, the points to write are kept in memory between comparing and writing.
_HELD_SHARE = 0.15


@dataclass(frozen=True)
class Change:
    """One shard, compared with a build.

    Attributes:
        source: The files it was read from.
        rows: Points of the shard now.
        digest: Their order-free fingerprint.
        points: File of their ids, hashes and fingerprints.
        written: Positions of the points to write, in key order.
        deleted: Ids of the points to remove, 16 bytes each.
        inexact: Payload keys with values that no filter can compare exactly.
        batch: The points to write; None where they are too many to be held, and are read again when written.
    """

    source: ShardSource
    rows: int
    digest: str
    points: str
    written: npt.NDArray[np.int64]
    deleted: tuple[bytes, ...]
    inexact: frozenset[str]
    batch: pa.RecordBatch | None = None

    @property
    def touched(self) -> int:
        """Points to write or to remove."""
        return len(self.written) + len(self.deleted)

    def from_nothing(self) -> Change:
        """The same shard for a build that begins empty."""
        return replace(self, written=np.arange(self.rows), deleted=(), batch=None)

    def entry(self, build_id: str) -> ShardEntry:
        """What the manifest of a build says of the shard."""
        source = self.source
        return ShardEntry(build_id, source.table_version, self.rows, self.digest, source.contents, self.points)


def compare_shard(
    store: Store, space: SpaceSpec, source: ShardSource, before: ShardEntry | None, *, engine: str
) -> Change:
    """Compare a shard as it is now with what a build of an engine holds of it (None: nothing)."""
    points = read_points(store, space, source)
    now = points_table(points)
    path = write_points(store.objects, space.name, engine, source.shard, now)
    digest = _digest(source.shard, now)
    if before is None:
        return Change(source, now.num_rows, digest, path, np.arange(now.num_rows), (), points.inexact)
    try:
        old = read_points_file(store.objects, before.points)
    except MissingObjectError as error:
        raise DamagedBuildError("ids and hashes of the points are gone", where=before.points) from error
    found = pc.index_in(now.column("id"), value_set=old.column("id").combine_chunks())
    same = pc.fill_null(pc.equal(old.column(ROW_HASH).take(found), now.column(ROW_HASH)), False)
    written = np.flatnonzero(~np.asarray(same.to_numpy(), dtype=bool))
    gone = pc.invert(pc.is_in(old.column("id"), value_set=now.column("id").combine_chunks()))
    deleted = tuple(old.column("id").filter(gone).to_pylist())
    batch = points.batch.take(pa.array(written)) if len(written) <= _HELD_SHARE * now.num_rows else None
    return Change(source, now.num_rows, digest, path, written, deleted, points.inexact, batch)


def _digest(shard: str, points: pa.Table) -> str:
    ids, hashes = points.column("id").to_pylist(), points.column(ROW_HASH).to_pylist()
    stored = (Stored(UUID(bytes=raw), shard, mark) for raw, mark in zip(ids, hashes, strict=True))
    found = shard_digests(stored).get(shard)
    return (found.digest if found is not None else None) or f"{0:032x}"
