"""Rankings that cannot be compared by their scores, made one: reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

#: Of Cormack, Clarke and Büttcher (2009): how little the first few ranks differ.
_DAMPING = 60


def fuse(rankings: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """All items with the sum of 1 / (60 + rank) over the rankings that hold them, best first; equals keep their order.

    Args:
        rankings: Each best first, without repeats; ranks count from 1.

    >>> [item for item, _ in fuse([["a", "b", "c"], ["b", "d"]])]
    ['b', 'a', 'd', 'c']
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (_DAMPING + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
