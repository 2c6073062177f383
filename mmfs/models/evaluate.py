"""What the demo models are measured by: three pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def recall_at_1(text: NDArray[np.float32], images: NDArray[np.float32], captions: Sequence[str]) -> float:
    """Share of captions whose most similar picture is their own, or one with the very same caption.

    Args: text: [N, D] embeddings of the captions. images: [N, D] of the pictures, row i belongs to caption i. Both
    have unit length. captions: the N texts.

    >>> recall_at_1(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), ["a", "b"])
    1.0
    """
    best = (text @ images.T).argmax(1)
    return float(np.mean([captions[i] == captions[j] for i, j in enumerate(best)]))


def precision_at_k(scores: NDArray[np.float32], relevant: NDArray[np.bool_], k: int = 5) -> float:
    """Mean share of relevant pictures among each query's k best.

    Args: scores: [Q, N], higher is better. relevant: bool [Q, N]. Queries with fewer than k relevant pictures are
    left out, since no ranking could give them a full score.
    Raises: ValueError when no query is left.

    >>> precision_at_k(np.array([[3.0, 2.0, 1.0]], np.float32), np.array([[True, False, True]]), k=2)
    0.5
    """
    asked = relevant.sum(1) >= k
    if not asked.any():
        raise ValueError(f"no query has {k} relevant pictures; take a larger gallery or a smaller k")
    best = np.argsort(-scores[asked], axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(relevant[asked], best, 1).mean())


def abs_rel(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean of |depth - truth| / truth over all pixels; both float32 [..., H, W] in metres, truth > 0.

    >>> abs_rel(np.full((2, 2), 1.1, np.float32), np.ones((2, 2), np.float32)).__round__(3)
    0.1
    """
    return float(np.mean(np.abs(depth - truth) / truth))
