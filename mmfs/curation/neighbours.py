"""Distances to the nearest others: found near by at first, then made exact for those that matter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmfs.curation.kmeans import BLOCK
from mmfs.curation.space import Floats
from mmfs.curation.tiles import SIDE, clusters_for_pairs, nearest_visits, tiles
from mmfs.store.keys import Int64s

Mask = npt.NDArray[np.bool_]

_VISITS = 3
_BATCH = 512


class Nearest:
    """The most similar others of every vector.

    Args:
        vectors: Unit vectors, float32 [n, D].
        groups: Vectors of one group are no neighbours of one another, int64 [n].
        count: How many to know.
    """

    def __init__(self, vectors: Floats, groups: Int64s, count: int) -> None:
        self._vectors, self._groups, self.count = vectors, groups, count
        self._best = np.full((len(vectors), count), -np.inf, np.float32)

    def look_near(self, *, seed: int) -> Floats:
        """Similarity of the count-th most similar among those near by, float32 [n]: a lower bound of the true one."""
        clusters = clusters_for_pairs(self._vectors, seed)
        for tile in tiles(self._vectors, clusters, nearest_visits(self._vectors, clusters, _VISITS)):
            close = self._allowed(tile.similarity, tile.left, tile.right)
            self._take(tile.left, close)
            if not tile.is_diagonal and not tile.is_visit:
                self._take(tile.right, close.T)
        least: Floats = self._best.min(axis=1)
        return least

    def exact(self, rows: Int64s) -> tuple[Floats, Int64s]:
        """Of these vectors: similarity of the count-th most similar of all, float32 [r], and the most similar one."""
        mine = np.ascontiguousarray(self._vectors[rows])
        best = np.full((len(rows), self.count), -np.inf, np.float32)
        nearest = np.zeros(len(rows), np.int64)
        step = max(SIDE, BLOCK // max(1, len(rows)))
        for start in range(0, len(self._vectors), step):
            others = np.arange(start, min(start + step, len(self._vectors)))
            close = self._allowed(mine @ self._vectors[start : start + step].T, rows, others)
            top = close.argmax(axis=1)
            better = close[np.arange(len(rows)), top] > best.max(axis=1)
            nearest[better] = others[top[better]]
            best = _top(best, close)
        return best.min(axis=1), nearest

    def _allowed(self, close: Floats, left: Int64s, right: Int64s) -> Floats:
        close[self._groups[left][:, None] == self._groups[right]] = -np.inf
        return close

    def _take(self, rows: Int64s, close: Floats) -> None:
        self._best[rows] = _top(self._best[rows], close)


def farthest(nearest: Nearest, top: int, *, seed: int, most: int) -> tuple[Int64s, Floats, Int64s, bool]:
    """The vectors whose count-th neighbour is farthest, exactly.

    What was found near by can only be too far, never too near: vectors are made exact in that order until no other can
    be among the first.

    Args:
        top: How many are wanted.
        most: Vectors that are made exact at most.

    Returns:
        Rows [top], farthest first; similarity of the count-th neighbour; the nearest one; whether the answer is exact.
    """
    bound = nearest.look_near(seed=seed)
    order = np.argsort(bound, kind="stable")
    rows, similarity = np.empty(0, np.int64), np.empty(0, np.float32)
    closest = np.empty(0, np.int64)
    done = 0
    while done < len(order):
        worst = np.partition(similarity, top - 1)[top - 1] if len(similarity) >= top else np.inf
        if bound[order[done]] >= worst or done >= max(most, top):
            break
        batch = order[done : done + _BATCH]
        found, other = nearest.exact(batch)
        rows, similarity = np.append(rows, batch), np.append(similarity, found)
        closest, done = np.append(closest, other), done + len(batch)
    is_exact = done == len(order) or bool(bound[order[done]] >= np.partition(similarity, top - 1)[top - 1])
    chosen = np.lexsort((rows, similarity))[:top]
    return rows[chosen], similarity[chosen], closest[chosen], is_exact


def _top(best: Floats, close: Floats) -> Floats:
    """The largest of both in each row, as many as ``best`` has, in any order."""
    count = best.shape[1]
    if close.shape[1] > count:
        close = np.partition(close, close.shape[1] - count, axis=1)[:, -count:]
    both = np.concatenate([best, close], axis=1)
    return np.partition(both, both.shape[1] - count, axis=1)[:, -count:]
