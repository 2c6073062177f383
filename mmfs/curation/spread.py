"""Greedy k-center: choose vectors so that none is far from one that was chosen: at most twice as far as can be.

Each pass over the vectors brings distances up to date with all choices made since the last one, and takes along the
farthest candidates. As distances only shrink, choices can be made among candidates alone as long as the farthest of
them is farther than all others were at the pass: the outcome is that of looking at every vector for every choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmfs.curation.kmeans import blocks
from mmfs.curation.space import Floats
from mmfs.store.keys import Int64s

_CANDIDATES = 8192
#: In place of a distance: chosen already. Below that of copies of chosen vectors, which are 0 up to rounding.
_CHOSEN = -1.0


@dataclass(frozen=True)
class Spread:
    """Vectors that cover the others.

    Attributes:
        rows: The chosen ones in the order chosen, int64 [n].
        gaps: One minus the cosine of each to the nearest chosen before it, float32 [n]; the first has 2, the largest.
        radius: The same of the vector that is farthest from all chosen ones.
        mean: Its mean over all vectors.
    """

    rows: Int64s
    gaps: Floats
    radius: float
    mean: float


def spread(vectors: Floats, count: int, *, seed: int) -> Spread:
    """Choose ``count`` vectors.

    Args:
        vectors: Unit vectors, float32 [n, D], n >= count.
        seed: Chooses the first.
    """
    chosen = [int(np.random.default_rng(seed).integers(len(vectors)))]
    gaps = [2.0]
    distance = np.full(len(vectors), 2, np.float32)
    pending = list(chosen)
    while len(chosen) < count:
        _bring_up_to_date(vectors, distance, pending)
        pending = _choose(vectors, distance, count - len(chosen), chosen, gaps)
    _bring_up_to_date(vectors, distance, pending)
    np.maximum(distance, 0, out=distance)
    return Spread(np.array(chosen, np.int64), np.array(gaps, np.float32), float(distance.max()), float(distance.mean()))


def _bring_up_to_date(vectors: Floats, distance: Floats, chosen: list[int]) -> None:
    centres = np.ascontiguousarray(vectors[np.array(chosen)])
    for start, block in blocks(vectors, len(centres)):
        near = 1 - (block @ centres.T).max(axis=1)
        np.minimum(distance[start : start + len(block)], near, out=distance[start : start + len(block)])
    distance[chosen] = _CHOSEN


def _choose(vectors: Floats, distance: Floats, most: int, chosen: list[int], gaps: list[float]) -> list[int]:
    """Choose among the farthest vectors while none that was left out could be farther; append to both lists."""
    candidates, bound = _farthest(distance)
    near = distance[candidates].copy()
    theirs = np.ascontiguousarray(vectors[candidates])
    taken: list[int] = []
    while len(taken) < most:
        best = int(np.argmax(near))
        if taken and near[best] < bound:
            break
        taken.append(int(candidates[best]))
        gaps.append(float(near[best]))
        np.minimum(near, 1 - theirs @ theirs[best], out=near)
        near[best] = _CHOSEN
    chosen += taken
    return taken


def _farthest(distance: Floats) -> tuple[Int64s, float]:
    """The farthest vectors, chosen ones last, ascending by row, and the distance that no other exceeds."""
    if len(distance) <= _CANDIDATES:
        return np.arange(len(distance)), 0.5 * _CHOSEN
    split = np.argpartition(distance, len(distance) - _CANDIDATES)
    return np.sort(split[-_CANDIDATES:]), max(float(distance[split[:-_CANDIDATES]].max()), 0.5 * _CHOSEN)
