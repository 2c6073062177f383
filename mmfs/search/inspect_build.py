"""Reading a build back through the port: what it holds, and how well its graph finds."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pyarrow as pa

from mmfs.search.points import shard_digests
from mmfs.search.port import BuildStats, Index

_K = 10
#: Vectors come back as float16; a probe found at less than this is another vector.
_SAME = 0.995


def inspect_build(index: Index, probes: pa.RecordBatch | None) -> BuildStats:
    """Counts and fingerprints of all points, and the recall of the graph over the probes.

    Args:
        index: The finished build.
        probes: `id` fixed_size_binary[16] and `vector` fixed_size_list[dim]: points that must be there.
    """
    shards = shard_digests(index.scroll())
    if probes is None or probes.num_rows == 0:
        return BuildStats(shards)
    found = wanted = 0
    lost = []
    ids = [UUID(bytes=raw) for raw in probes.column("id").to_pylist()]
    kept = index.vectors(ids)
    for number, point in enumerate(ids):
        vector = unit(np.asarray(probes.column("vector")[number].values.to_numpy(zero_copy_only=False), np.float32))
        if point not in kept or float(kept[point] @ vector) < _SAME:
            lost.append(point)
            continue
        truth = index.query(vector, _K, exact=True)
        # Equal vectors tie: what counts is how near the found are, not which of the equals they are.
        floor = min(hit.score for hit in truth) - 1e-6
        found += sum(hit.score >= floor for hit in index.query(vector, _K))
        wanted += len(truth)
    return BuildStats(shards, found / wanted if wanted else None, tuple(lost))


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1; a zero vector stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
