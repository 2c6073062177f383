"""A year of media, by their sizes alone: what people keep, so many files a day, into shards."""

from __future__ import annotations

import numpy as np

from mmfs.ingest.filling import Filled, Int64s, Limits, fill

MB = 1_000_000
#: Median size in bytes and spread (sigma of its logarithm) of what people keep: file sizes are log-normal.
KINDS = {"pictures of the web": (0.06 * MB, 1.0), "photos": (2.5 * MB, 0.6), "clips": (8 * MB, 1.0)}


def draw(kind: str, count: int, rng: np.random.Generator) -> Int64s:
    """Sizes in bytes, int64 [count]."""
    median, sigma = KINDS[kind]
    return (median * np.exp(sigma * rng.standard_normal(count, np.float32))).astype(np.int64)


def year_of(kind: str, files_a_day: int, limits: Limits) -> tuple[list[Filled], int]:
    """What shards hold after 365 days, each day into the one that is open; and the largest file in bytes."""
    rng = np.random.default_rng(5)
    shards, largest = [Filled()], 0
    for _ in range(365):
        sizes = draw(kind, files_a_day, rng)
        shards[-1:] = fill(limits, shards[-1], sizes)
        largest = max(largest, int(sizes.max()))
    return shards, largest


def are_of_intended_size(shards: list[Filled], largest: int, limits: Limits) -> bool:
    """Whether every shard but the open one is sealed, and none holds more than its limits and one file."""
    return all(
        limits.is_sealed(shard) and shard.files <= limits.max_files and shard.size_bytes < limits.target_bytes + largest
        for shard in shards[:-1]
    )
