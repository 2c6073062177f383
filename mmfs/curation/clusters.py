"""Samples in k clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.curation.answer import Call, answer
from mmfs.curation.kmeans import cluster
from mmfs.curation.space import open_space
from mmfs.errors import CurationError
from mmfs.store.arrays import as_arrow

if TYPE_CHECKING:
    from mmfs.store import Store


def clusters(
    store: Store,
    k: int,
    *,
    space: str = "clip_embeddings",
    subset: str | None = None,
    where: str | None = None,
    seed: int = 0,
) -> pa.Table:
    """Every sample with its cluster, by k-means on the unit sphere.

    Args:
        k: Clusters wanted; fewer come out where fewer samples differ.
        space: Embedding table.
        subset, where: Look at these samples only.
        seed: Equal seeds give equal clusters.

    Returns:
        In canonical order: key columns, ``key``, ``cluster`` (0 is the largest) and ``distance`` (one minus the cosine
        to its centre). Figures: ``sizes`` by cluster, and ``mean_distance``.

    Raises:
        CurationError: There are fewer samples than clusters.
        StoreError, WhereError: The subset or the condition is wrong.
    """
    opened = open_space(store, space, subset=subset, where=where)
    if not 1 <= k <= len(opened):
        raise CurationError(f"k = {k}", where=space, mend=f"there are {len(opened):,} vectors: ask for 1 to that")
    found = cluster(opened.vectors, k, seed=seed)
    order = np.argsort(-found.sizes(), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    distance = np.maximum(0, 1 - found.similarity.astype(np.float64))
    call = Call(
        "clusters", {"k": k, "space": space, "subset": subset, "seed": seed}, where, opened.model, opened.versions
    )
    figures = {
        "vectors": len(opened),
        "sizes": found.sizes()[order].tolist(),
        "mean_distance": round(float(distance.mean()), 6),
    }
    columns: dict[str, pa.Array] = {"cluster": as_arrow(place[found.labels]), "distance": as_arrow(distance)}
    return answer(call, opened.samples, opened.rows, columns, figures)
