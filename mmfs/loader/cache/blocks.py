"""Blocks of the order: runs of consecutive samples of a shard, which are delivered one soon after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmfs.store.keys import Int64s


class Blocks:
    """The blocks of a selection. A block is known by the number of its first sample.

    Args:
        shard_rows: Samples of each shard.
        block: Samples in a block; a shard's last one may be shorter.

    >>> blocks = Blocks([5, 3], 4)
    >>> blocks.of(np.array([0, 3, 4, 5, 7])).tolist(), [blocks.samples(b).tolist() for b in (0, 4, 5)]
    ([0, 0, 4, 5, 5], [[0, 1, 2, 3], [4], [5, 6, 7]])
    """

    def __init__(self, shard_rows: Sequence[int], block: int) -> None:
        self._ends = np.cumsum(np.array(shard_rows, np.int64))
        self._starts = self._ends - np.array(shard_rows, np.int64)
        self._block = block

    @property
    def all(self) -> list[int]:
        """All blocks, in order."""
        shards = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        return [block for start, end in shards for block in range(start, end, self._block)]

    def of(self, samples: Int64s) -> Int64s:
        """The block of each sample."""
        starts = self._starts[np.searchsorted(self._ends, samples, side="right")]
        found: Int64s = starts + (samples - starts) // self._block * self._block
        return found

    def samples(self, block: int) -> Int64s:
        """The samples of a block."""
        end = int(self._ends[np.searchsorted(self._ends, block, side="right")])
        return np.arange(block, min(block + self._block, end), dtype=np.int64)
