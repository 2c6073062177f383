"""Samples that are like no other: far even from their k-th nearest neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmfs.curation.answer import Call, answer
from mmfs.curation.neighbours import Nearest, farthest
from mmfs.curation.selection import key_texts
from mmfs.curation.space import open_space
from mmfs.errors import CurationError
from mmfs.store.arrays import as_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from mmfs.store import Store

#: Vectors that are compared with all others, at most: where nothing lies apart, the answer is near enough.
_MOST_EXACT = 8192


def outliers(
    store: Store,
    top: int = 100,
    neighbours: int = 10,
    *,
    within_media: bool = False,
    space: str = "clip_embeddings",
    subset: str | None = None,
    where: str | None = None,
    seed: int = 0,
) -> pa.Table:
    """The samples whose k-th nearest neighbour is farthest.

    Args:
        top: How many.
        neighbours: k. A few copies of an odd picture do not hide it when k is larger than their number.
        within_media: Whether frames of one video count as neighbours of one another; they are mostly alike.
        space: Embedding table.
        subset, where: Look at these samples only, also for neighbours.
        seed: Chooses where the search begins.

    Returns:
        Farthest first: key columns, ``key``, ``score`` (one minus the cosine to the k-th neighbour, 0 to 2) and
        ``nearest_key``. Figures say whether every vector that could matter was compared with all others.

    Raises:
        CurationError: There are fewer samples than wanted, or than neighbours.
        StoreError, WhereError: The subset or the condition is wrong.
    """
    opened = open_space(store, space, subset=subset, where=where)
    if not 1 <= top <= len(opened):
        raise CurationError(f"top = {top}", where=space, mend=f"there are {len(opened):,} vectors: ask for 1 to that")
    groups = np.arange(len(opened)) if within_media else opened.media_codes()
    fewest = len(opened) - int(np.bincount(groups).max())
    if not 1 <= neighbours <= fewest:
        raise CurationError(
            f"neighbours = {neighbours}",
            where=space,
            mend=f"some sample has {fewest:,} others{'' if within_media else ' in other media'}: ask for 1 to that",
        )
    rows, similarity, nearest, is_exact = farthest(
        Nearest(opened.vectors, groups, neighbours), top, seed=seed, most=max(_MOST_EXACT, 8 * top)
    )
    columns = {
        "score": as_arrow((1 - similarity).astype(np.float64)),
        "nearest_key": key_texts(opened.samples, opened.rows[nearest]),
    }
    arguments = {"top": top, "neighbours": neighbours, "within_media": within_media, "space": space, "subset": subset}
    call = Call("outliers", arguments, where, opened.model, opened.versions)
    return answer(call, opened.samples, opened.rows[rows], columns, {"vectors": len(opened), "is_exact": is_exact})
