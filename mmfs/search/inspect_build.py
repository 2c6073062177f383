"""Reading a build back through the port: what it holds, and how well its graph finds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.search.points import shard_digests
from mmfs.search.port import SHARD, BuildStats, Index, ShardDigest, Stored

_K = 10
#: More than the shards a store may have.
_SHARDS = 100_000
_ASKED = 100
#: Vectors come back as float16; a probe found at less than this is another vector.
_SAME = 0.995
#: Of each number of a vector: float16 rounds by half a thousandth, and to 6e-8 where numbers are tiny.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
_AT_ONCE = 1000


def inspect_build(index: Index, probes: pa.RecordBatch | None, touched: Sequence[str] | None = None) -> BuildStats:
    """Counts and fingerprints of all points, the recall of the graph, and the probes that have other vectors.

    Args:
        index: The finished build.
        probes: `id` fixed_size_binary[16] and `vector` fixed_size_list[dim]: points as the table has them.
        touched: Shards to fingerprint; the points of others are counted only. None: all.
    """
    asked: list[UUID] = []
    shards: dict[str, ShardDigest] = {}
    points = index.scroll()
    if touched is not None:
        counts = index.facet(SHARD, limit=_SHARDS)
        shards = {shard: ShardDigest(rows, None) for shard, rows in counts.items()}
        points = chain.from_iterable(index.scroll(shard=shard) for shard in touched)
    shards |= shard_digests(_drawing(points, asked, random.Random(0)))
    return BuildStats(shards, _recall(index, asked), tuple(_lost(index, probes)) if probes is not None else ())


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vector at length 1; a zero vector stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def other_vectors(index: Index, points: pa.RecordBatch) -> Iterator[UUID]:
    """Points that the index holds under another vector than the table; read a thousand at a time.

    Args:
        points: `id` fixed_size_binary[16] and `vector` fixed_size_list[dim], as the table has them.
    """
    for start in range(0, points.num_rows, _AT_ONCE):
        batch = points.slice(start, _AT_ONCE)
        ids = [UUID(bytes=raw) for raw in batch.column("id").to_pylist()]
        wanted = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)
        kept = index.vectors(ids)
        for point, vector in zip(ids, wanted.astype(np.float32), strict=True):
            if point in kept and not np.allclose(kept[point], unit(vector), rtol=_RELATIVE, atol=_ABSOLUTE):
                yield point


def _drawing(points: Iterator[Stored], drawn: list[UUID], draw: random.Random) -> Iterator[Stored]:
    """The points as they come, of which ``drawn`` keeps a fair sample (by reservoir)."""
    for number, point in enumerate(points):
        if number < _ASKED:
            drawn.append(point.id)
        elif (place := draw.randrange(number + 1)) < _ASKED:
            drawn[place] = point.id
        yield point


def _recall(index: Index, asked: list[UUID]) -> float | None:
    """Share of the true 10 nearest that the graph finds, over points of the build; None when it is empty."""
    found = wanted = 0
    for vector in index.vectors(asked).values():
        truth = index.query(vector, _K, exact=True)
        # Equal vectors tie: what counts is how near the found are, not which of the equals they are.
        floor = min(hit.score for hit in truth) - 1e-6
        found += sum(hit.score >= floor for hit in index.query(vector, _K))
        wanted += len(truth)
    return found / wanted if wanted else None


def _lost(index: Index, probes: pa.RecordBatch) -> Iterator[UUID]:
    ids = [UUID(bytes=raw) for raw in probes.column("id").to_pylist()]
    kept = index.vectors(ids)
    for number, point in enumerate(ids):
        vector = np.asarray(probes.column("vector")[number].values.to_numpy(zero_copy_only=False), np.float32)
        if point not in kept or (vector.any() and float(kept[point] @ unit(vector)) < _SAME):
            yield point
