"""What changed in a shard since a build: by row hash, so that equal rows count as unchanged whatever wrote them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.search.manifest import ShardEntry, points_table, read_points_file, write_points
from mmfs.search.points import shard_digests
from mmfs.search.port import ROW_HASH, ShardDigest, SpaceSpec, Stored
from mmfs.search.spaces import ShardSource, read_points

if TYPE_CHECKING:
    from mmfs.store import Store


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
    """

    source: ShardSource
    rows: int
    digest: str
    points: str
    written: npt.NDArray[np.int64]
    deleted: tuple[bytes, ...]

    @property
    def touched(self) -> int:
        """Points to write or to remove."""
        return len(self.written) + len(self.deleted)

    def from_nothing(self) -> Change:
        """The same shard for a build that begins empty."""
        return replace(self, written=np.arange(self.rows), deleted=())

    def entry(self, build_id: str) -> ShardEntry:
        """What the manifest of a build says of the shard."""
        return ShardEntry(build_id, self.source.table_version, self.rows, self.digest, self.source.paths, self.points)


def compare_shard(
    store: Store, space: SpaceSpec, source: ShardSource, before: ShardEntry | None, *, engine: str
) -> Change:
    """Compare a shard as it is now with what a build of an engine holds of it (None: nothing)."""
    now = points_table(read_points(store, space, source))
    path = write_points(store.objects, space.name, engine, source.shard, now)
    digest = _digest(source.shard, now)
    if before is None:
        return Change(source, now.num_rows, digest.digest, path, np.arange(now.num_rows), ())
    old = read_points_file(store.objects, before.points)
    found = pc.index_in(now.column("id"), value_set=old.column("id").combine_chunks())
    same = pc.fill_null(pc.equal(old.column(ROW_HASH).take(found), now.column(ROW_HASH)), False)
    written = np.flatnonzero(~np.asarray(same.to_numpy(), dtype=bool))
    gone = pc.invert(pc.is_in(old.column("id"), value_set=now.column("id").combine_chunks()))
    deleted = tuple(old.column("id").filter(gone).to_pylist())
    return Change(source, now.num_rows, digest.digest, path, written, deleted)


def _digest(shard: str, points: pa.Table) -> ShardDigest:
    ids, hashes = points.column("id").to_pylist(), points.column(ROW_HASH).to_pylist()
    stored = (Stored(UUID(bytes=raw), shard, mark) for raw, mark in zip(ids, hashes, strict=True))
    return shard_digests(stored).get(shard, ShardDigest(0, f"{0:032x}"))
