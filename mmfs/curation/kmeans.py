"""k-means on the unit sphere: seeded, begun by k-means++, learnt on a sample, one pass over the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmfs.curation.space import Floats
from mmfs.store.keys import Int64s

#: Numbers in a block of similarities.
BLOCK = 1 << 22
#: Vectors a centre is learnt from, and most of them together.
_SAMPLE_EACH, _SAMPLE_LEAST, _SAMPLE_MOST = 64, 1 << 14, 1 << 17
_SEEDS_EACH = 16


@dataclass(frozen=True)
class Clusters:
    """Vectors, each with its nearest centre.

    Attributes:
        centres: Unit vectors, float32 [k, D].
        labels: Nearest centre of each vector, int64 [n].
        similarity: Cosine to it, float32 [n].
    """

    centres: Floats
    labels: Int64s
    similarity: Floats

    def sizes(self) -> Int64s:
        """Vectors of each cluster, int64 [k]."""
        return np.bincount(self.labels, minlength=len(self.centres)).astype(np.int64)


def cluster(vectors: Floats, k: int, *, seed: int, iterations: int = 25) -> Clusters:
    """Put vectors into k clusters.

    Args:
        vectors: Unit vectors, float32 [n, D], n >= k.
        k: Clusters wanted; fewer come out where fewer vectors differ.
        seed: Chooses sample and first centres; equal seeds give equal clusters.
        iterations: Most rounds of learning; fewer are enough where clusters only save work.
    """
    draw = np.random.default_rng(seed)
    rows = min(len(vectors), max(k, _SAMPLE_LEAST, min(_SAMPLE_EACH * k, _SAMPLE_MOST)))
    chosen = np.sort(draw.choice(len(vectors), rows, replace=False)) if rows < len(vectors) else slice(None)
    centres = _learn(np.ascontiguousarray(vectors[chosen]), k, draw, iterations)
    labels, similarity = nearest(vectors, centres)
    return Clusters(centres, labels, similarity)


def nearest(vectors: Floats, centres: Floats) -> tuple[Int64s, Floats]:
    """Nearest centre of each vector, int64 [n], and the cosine to it, float32 [n]."""
    labels = np.empty(len(vectors), np.int64)
    similarity = np.empty(len(vectors), np.float32)
    for start, block in blocks(vectors, len(centres)):
        close = block @ centres.T
        best = close.argmax(axis=1)
        labels[start : start + len(block)] = best
        similarity[start : start + len(block)] = close[np.arange(len(block)), best]
    return labels, similarity


def blocks(vectors: Floats, width: int) -> Iterator[tuple[int, Floats]]:
    """Vectors in runs of so many that a run by ``width`` numbers is a bounded block; each with its first row."""
    rows = max(1, min(BLOCK // max(1, width), BLOCK // vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        yield start, vectors[start : start + rows]


def _learn(sample: Floats, k: int, draw: np.random.Generator, iterations: int) -> Floats:
    centres = _plus_plus(sample, k, draw)
    labels = None
    for _ in range(iterations):
        found, similarity = nearest(sample, centres)
        if labels is not None and np.array_equal(found, labels):
            break
        labels = found
        centres = _means(sample, labels, similarity, len(centres))
    return centres


def _plus_plus(sample: Floats, k: int, draw: np.random.Generator) -> Floats:
    """First centres: each drawn with a chance proportional to its squared distance from those drawn before."""
    rows = min(len(sample), max(_SEEDS_EACH * k, 1024))
    among = sample[draw.choice(len(sample), rows, replace=False)] if rows < len(sample) else sample
    centres = [among[draw.integers(len(among))]]
    apart = 1 - among @ centres[0]
    while len(centres) < k:
        chance = np.cumsum(np.maximum(apart, 0), dtype=np.float64)
        if chance[-1] <= 1e-6 * len(among):
            break  # nothing differs from the centres there are
        centres.append(
            among[np.searchsorted(chance, draw.uniform(0, chance[-1]), side="right").clip(max=len(among) - 1)]
        )
        np.minimum(apart, 1 - among @ centres[-1], out=apart)
    return np.stack(centres)


def _means(sample: Floats, labels: Int64s, similarity: Floats, k: int) -> Floats:
    """Means of clusters at unit length; an empty cluster begins anew at the vector that fits its own worst."""
    order = np.argsort(labels, kind="stable")
    there, firsts = np.unique(labels[order], return_index=True)
    sums = np.add.reduceat(sample[order], firsts, axis=0)
    centres = np.empty((k, sample.shape[1]), np.float32)
    centres[there] = sums
    empty = np.setdiff1d(np.arange(k), there)
    centres[empty] = sample[np.argsort(similarity, kind="stable")[: len(empty)]]
    lengths = np.sqrt(np.einsum("kd,kd->k", centres, centres))
    flat = lengths == 0  # opposite vectors cancel out
    centres[flat], lengths[flat] = sample[0], 1.0
    centres /= lengths[:, None]
    return centres
