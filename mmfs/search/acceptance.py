"""What a finished build must be to be published: equal to its tables, with a graph that finds."""

from __future__ import annotations

from mmfs.errors import IntegrityError, SearchError
from mmfs.search.manifest import Manifest
from mmfs.search.port import BuildStats

MIN_RECALL = 0.98


class LowRecallError(SearchError):
    """The graph of a build finds too few of the true neighbours."""


def check_build(manifest: Manifest, stats: BuildStats) -> None:
    """Compare a finished build with the tables.

    Raises:
        IntegrityError: A shard has other points, or a vector differs.
        LowRecallError: The graph finds less than `MIN_RECALL` of the true neighbours.
    """
    wanted = {shard: (entry.rows, entry.digest) for shard, entry in manifest.shards.items() if entry.rows}
    found = {
        shard: (held.rows, wanted.get(shard, (0, ""))[1] if held.digest is None else held.digest)
        for shard, held in stats.shards.items()
    }
    for shard in sorted(wanted.keys() | found.keys()):
        if wanted.get(shard) != found.get(shard):
            table_rows, index_rows = wanted.get(shard, (0, ""))[0], found.get(shard, (0, ""))[0]
            raise IntegrityError(
                f"the build differs from the tables in shard {shard}: {index_rows} points for {table_rows} rows",
                where=manifest.space.name,
                mend="nothing was published; materialize qdrant_index again",
            )
    if stats.lost_probes:
        raise IntegrityError(
            f"{len(stats.lost_probes)} points of the build have other vectors than the table",
            where=manifest.space.name,
            mend="nothing was published; materialize qdrant_index again",
        )
    if stats.recall is not None and stats.recall < MIN_RECALL:
        raise LowRecallError(
            f"the graph finds {stats.recall:.3f} of the true nearest points, less than {MIN_RECALL}",
            where=manifest.space.name,
            mend="nothing was published; search with exact=True meanwhile",
        )
