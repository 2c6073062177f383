"""Samples at random: the same for a seed, a condition and a state of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import SearchError
from mmfs.search.lookup import Look
from mmfs.search.points import point_id
from mmfs.search.port import Hit
from mmfs.search.query import MAX_K

if TYPE_CHECKING:
    from mmfs.schemas import Grain
    from mmfs.store import Store


def random_sample(
    store: Store, look: Look, grain: Grain, n: int, *, where: str | None, seed: int
) -> tuple[list[Hit], int]:
    """``n`` samples of a grain drawn without replacement, in the order drawn, or all where there are fewer.

    Of two draws with one seed from the same rows, the smaller is the beginning of the larger.

    Args:
        where: Only samples that meet this condition.

    Returns:
        The samples, and how many they were drawn from.

    Raises:
        SearchError: ``n`` is out of range.
        WhereError: The condition is wrong.
    """
    if not 1 <= n <= MAX_K:
        raise SearchError(f"n = {n}", mend=f"draw 1 to {MAX_K} samples; for more, use SQL or store.curate")
    rows = store.select(grain, where=where)
    gone = pa.array(sorted(look.taken_down), pa.string())
    rows = rows.filter(pc.invert(pc.is_in(rows.column("media_id"), value_set=gone)))
    drawn = np.random.default_rng(seed).permutation(rows.num_rows)[:n]
    chosen = rows.take(pa.array(drawn)).to_pydict()
    media, *_, shards = chosen.values()
    indexes = [None] * len(media) if grain == "media" else list(chosen.values())[1]
    names = [name if index is None else f"{name}:{index}" for name, index in zip(media, indexes, strict=True)]
    hits = [
        Hit(point_id(store.namespace, name), 0.0, one, index, shard)
        for name, one, index, shard in zip(names, media, indexes, shards, strict=True)
    ]
    return hits, rows.num_rows
