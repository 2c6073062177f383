"""Choosing hits that differ from one another: maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def most_diverse(vectors: npt.NDArray[np.float32], scores: Sequence[float], k: int, diversity: float) -> list[int]:
    """Positions of ``k`` of the hits, in the order chosen: each is good, and unlike those chosen before it.

    Args:
        vectors: float32 [N, D] of unit length.
        scores: Their similarity to the query.
        k: How many to choose.
        diversity: 0 chooses by score alone, 1 by difference alone.

    >>> near = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> most_diverse(near, [0.9, 0.89, 0.5], 2, 0.7)
    [0, 2]
    """
    relevance = np.asarray(scores, np.float64)
    closest = np.zeros(len(relevance))
    open_ = np.ones(len(relevance), bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        gain = (1 - diversity) * relevance - diversity * closest
        # The first is the best hit whatever the diversity: there is nothing yet to differ from.
        best = int(np.argmax(np.where(open_, gain if chosen else relevance, -np.inf)))
        chosen.append(best)
        open_[best] = False
        closest = np.maximum(closest, vectors @ vectors[best]) if len(chosen) > 1 else vectors @ vectors[best]
    return chosen
