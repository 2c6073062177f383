"""Which media of a group of duplicates is kept: an order of media."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mmfs.curation.selection import Samples
from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Int64s, Keys

if TYPE_CHECKING:
    from mmfs.store import Store

Keep = Literal["largest", "first"]


def media_order(store: Store, samples: Samples, keep: Keep, *, version: int) -> Int64s:
    """Rank of each sample's media, int64 [n]: the lower, the better; no two media have the same.

    ``largest`` orders by pixels, then by the size of the file; ``first`` by when a media was ingested. What is equal
    goes in canonical order, so that the outcome is always the same.

    Args:
        version: Version of raw_media to read.
    """
    first = np.zeros(len(samples), np.int64)
    second = np.zeros(len(samples), np.int64)
    names = ["width", "height", "size_bytes", "ingested_at_us"]
    for shard, begin, keys in samples.by_shard():
        rows = store.tables.read("raw_media", columns=["media_id", *names], shard=shard, version=version)
        rows = rows.combine_chunks()
        place = Keys(keys.media, None).locate_in(Keys.of(rows, "media"))
        has = np.flatnonzero(place >= 0)
        value = {name: as_numpy(rows.column(name).fill_null(0).combine_chunks()).astype(np.int64) for name in names}
        one = -value["width"] * value["height"] if keep == "largest" else value["ingested_at_us"]
        first[begin + has] = one[place[has]]
        second[begin + has] = -value["size_bytes"][place[has]] if keep == "largest" else 0
    media = samples.media_codes()
    _, at = np.unique(media, return_index=True)  # the first sample of each media
    order = np.lexsort((at, second[at], first[at]))
    rank = np.empty(len(at), np.int64)
    rank[order] = np.arange(len(at))
    return rank[media]
