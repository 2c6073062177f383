"""Comparing vectors with those near them: blocks of similarities inside clusters, and across their borders.

A pair with a cosine of at least ``least`` is at most ``reach = sqrt(2 - 2 least)`` apart. If its two vectors lie in
different clusters, the plane halfway between the two centres runs between them, and one of the two is at most half of
``reach`` away from it. So each vector also visits the clusters whose border is that near, and no pair is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.curation.kmeans import Clusters, blocks, cluster
from mmfs.curation.space import Floats
from mmfs.store.keys import Int64s

#: Rows and columns of a tile.
SIDE = 2048
_MOST_CLUSTERS = 4096
_ROUNDS = 5
#: Up to so many vectors, comparing all with all is cheaper than learning clusters.
ONE_CLUSTER = 12_288
#: Visits a vector, above which vectors have no clusters to speak of, and the most promising visits must do.
MOST_VISITS = 64
#: Rounding of float32 sums.
_SLACK = 1e-5


@dataclass(frozen=True)
class Tile:
    """Vectors compared with one another.

    Attributes:
        left, right: Their rows, int64 [l] and [r].
        similarity: Cosines, float32 [l, r].
        is_diagonal: Whether left and right are the same rows.
        is_visit: Whether the left ones visit from other clusters. A pair may visit both ways.
    """

    left: Int64s
    right: Int64s
    similarity: Floats
    is_diagonal: bool = False
    is_visit: bool = False


@dataclass(frozen=True)
class Visits:
    """Which vectors also visit which clusters.

    Attributes:
        rows: Rows by cluster visited: those of cluster c are ``rows[starts[c] : starts[c + 1]]``.
        starts: int64 [k + 1].
        is_complete: Whether none that should be there was left out.
    """

    rows: Int64s
    starts: Int64s
    is_complete: bool


def clusters_for_pairs(vectors: Floats, seed: int) -> Clusters:
    """Clusters such that finding them costs about as much as comparing inside them."""
    wanted = 1 if len(vectors) <= ONE_CLUSTER else min(_MOST_CLUSTERS, int(len(vectors) ** 0.5))
    return cluster(vectors, wanted, seed=seed, iterations=_ROUNDS)


def border_visits(vectors: Floats, clusters: Clusters, least: float) -> Visits:
    """Visits across borders that no pair with a cosine of at least ``least`` is missed without."""
    reach = float(np.sqrt(max(0.0, 2 - 2 * least)))
    apart = np.sqrt(np.maximum(0, 2 - 2 * clusters.centres @ clusters.centres.T)) * (reach / 2)
    found_rows, found_clusters, is_complete = [], [], True
    for start, block in blocks(vectors, len(clusters.centres)):
        here = slice(start, start + len(block))
        labels = clusters.labels[here]
        # The distance to the plane between two unit centres is the difference of cosines over that of the centres.
        margin = clusters.similarity[here, None] - block @ clusters.centres.T - apart[labels]
        margin[np.arange(len(block)), labels] = np.inf
        near = margin <= _SLACK
        if near.sum() > MOST_VISITS * len(block):
            cut = np.partition(margin, MOST_VISITS, axis=1)[:, MOST_VISITS, None]
            near &= margin < cut
            is_complete = False
        rows, visited = np.nonzero(near)
        found_rows.append(rows.astype(np.int64) + start)
        found_clusters.append(visited.astype(np.int32))
    return _by_cluster(np.concatenate(found_rows), np.concatenate(found_clusters), len(clusters.centres), is_complete)


def nearest_visits(vectors: Floats, clusters: Clusters, each: int) -> Visits:
    """Visits of every vector to the ``each`` clusters that are nearest but its own."""
    each = min(each, len(clusters.centres) - 1)
    found = np.empty((len(vectors), each), np.int32)
    for start, block in blocks(vectors, len(clusters.centres) if each else 1):
        if each:
            close = block @ clusters.centres.T
            close[np.arange(len(block)), clusters.labels[start : start + len(block)]] = -np.inf
            found[start : start + len(block)] = np.argpartition(close, -each, axis=1)[:, -each:]
    rows = np.repeat(np.arange(len(vectors)), each)
    return _by_cluster(rows, found.ravel(), len(clusters.centres), False)


def tiles(vectors: Floats, clusters: Clusters, visits: Visits) -> Iterator[Tile]:
    """All pairs inside clusters and of visitors with those they visit; of two tiles that mirror one another, one.

    Args:
        vectors: Unit vectors, float32 [n, D].
    """
    order = np.argsort(clusters.labels, kind="stable")
    ends = np.cumsum(clusters.sizes())
    for number, end in enumerate(ends.tolist()):
        members = order[end - (ends[0] if number == 0 else ends[number] - ends[number - 1]) : end]
        visitors = visits.rows[visits.starts[number] : visits.starts[number + 1]]
        for begin in range(0, len(members), SIDE):
            right = members[begin : begin + SIDE]
            theirs = vectors[right].T
            for first in range(0, begin + 1, SIDE):
                left = members[first : first + SIDE]
                yield Tile(left, right, vectors[left] @ theirs, is_diagonal=first == begin)
            for first in range(0, len(visitors), SIDE):
                left = visitors[first : first + SIDE]
                yield Tile(left, right, vectors[left] @ theirs, is_visit=True)


def _by_cluster(rows: Int64s, visited: npt.NDArray[np.int32], k: int, complete: bool) -> Visits:
    order = np.argsort(visited, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(visited, minlength=k)))).astype(np.int64)
    return Visits(rows[order], starts, complete)
