"""A few samples that stand for all: greedy k-center over vectors, with the coverage that was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.curation.answer import Call, answer
from mmfs.curation.space import open_space
from mmfs.curation.spread import spread
from mmfs.errors import CurationError
from mmfs.store.arrays import as_arrow

if TYPE_CHECKING:
    from mmfs.store import Store


def diverse(
    store: Store,
    n: int,
    *,
    space: str = "clip_embeddings",
    subset: str | None = None,
    where: str | None = None,
    seed: int = 0,
) -> pa.Table:
    """The n samples that differ most: no other sample is far from all of them.

    Args:
        n: How many.
        space: Embedding table.
        subset, where: Choose among these samples only.
        seed: Chooses the first one; the others follow from it.

    Returns:
        In the order chosen, so that the first rows are a smaller such choice: key columns, ``key`` and ``score`` (one
        minus the cosine to the nearest chosen before it; 2 for the first). Figures: ``radius`` and ``mean_distance`` of
        all samples to the nearest chosen one, and ``vectors``, how many were looked at.

    Raises:
        CurationError: There are fewer samples than wanted.
        StoreError, WhereError: The subset or the condition is wrong.
    """
    opened = open_space(store, space, subset=subset, where=where)
    if not 1 <= n <= len(opened):
        raise CurationError(f"n = {n}", where=space, mend=f"there are {len(opened):,} vectors: ask for 1 to that")
    found = spread(opened.vectors, n, seed=seed)
    call = Call(
        "diverse", {"n": n, "space": space, "subset": subset, "seed": seed}, where, opened.model, opened.versions
    )
    figures = {"vectors": len(opened), "radius": round(found.radius, 6), "mean_distance": round(found.mean, 6)}
    columns: dict[str, pa.Array] = {"score": as_arrow(found.gaps.astype(np.float64))}
    return answer(call, opened.samples, opened.rows[found.rows], columns, figures)
