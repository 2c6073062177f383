"""What a build did to each shard: the report, and the row of the table ``qdrant_index``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.search.changes import Change
from mmfs.search.manifest import Manifest

if TYPE_CHECKING:
    from mmfs.store import Store

TABLE = "qdrant_index"


@dataclass(frozen=True)
class IndexReport:
    """One shard of a search space, brought up to date.

    Attributes:
        table: Always ``qdrant_index``.
        space: Embedding table.
        shard: The shard.
        rows: Points of the shard now.
        computed: Points written.
        carried: Points that were there already.
        removed: Points removed.
        seconds: This shard's share of the whole call.
        build_id: Build that answers now.
        indexed_rows: Points of that build, all shards together.
        recall: Share of the true nearest that the graph finds; None when nothing was built.
        digest: Order-free fingerprint of the shard's points: its data version.
        version: Version of the table ``qdrant_index``.
        changed: Whether the shard's row there changed.
    """

    table: str
    space: str
    shard: str
    rows: int
    computed: int
    carried: int
    removed: int
    seconds: float
    build_id: str
    indexed_rows: int
    recall: float | None
    digest: str
    version: int
    changed: bool

    @property
    def rows_per_s(self) -> float:
        """Points written a second."""
        return self.computed / self.seconds if self.computed and self.seconds > 0 else 0.0


def recorded_shards(store: Store, space: str) -> list[str]:
    """Shards of which some build of a space holds points, as the table says: it outlives every build."""
    rows = store.tables.read(TABLE, columns=["space", "shard"])
    shards: list[str] = rows.filter(pc.equal(rows.column("space"), space)).column("shard").to_pylist()
    return shards


def record_shard(
    store: Store,
    manifest: Manifest,
    shard: str,
    change: Change | None,
    *,
    now_us: int,
    seconds: float,
    recall: float | None,
) -> IndexReport:
    """Write the shard's row for this space, if it differs, and say what was done."""
    entry, space = manifest.shards[shard], manifest.space.table
    row = {
        "space": space,
        "build_id": entry.build_id,
        "table_version": entry.table_version,
        "rows": entry.rows,
        "key_digest": entry.digest,
        "published_at_us": now_us,
    }

    def replaced(current: pa.Table) -> pa.Table:
        others = current.filter(pc.not_equal(current.column("space"), space))
        return pa.concat_tables([others, pa.Table.from_pylist([row], schema=others.schema)])

    commit = store.tables.update(TABLE, shard, replaced)
    written = len(change.written) if change else 0
    return IndexReport(
        table=TABLE,
        space=space,
        shard=shard,
        rows=entry.rows,
        computed=written,
        carried=entry.rows - written,
        removed=len(change.deleted) if change else 0,
        seconds=seconds,
        build_id=manifest.build_id,
        indexed_rows=manifest.rows,
        recall=recall,
        digest=entry.digest,
        version=commit.version,
        changed=commit.changed,
    )
