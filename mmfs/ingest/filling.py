"""How files fill shards: a pure function of their sizes, in the order of their names.

A shard takes files until it holds its target of media, or as many files as it may; then it is sealed and the next one
opened. The file that reaches the target still goes in, whatever its size: a shard that were sealed because a long video
does not fit would stay small, and a trickle of long videos among photos would leave a swarm of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Filled:
    """What a shard holds.

    Attributes:
        files: Number of files.
        size_bytes: Their size, as far as known.
    """

    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Limits:
    """When a shard is sealed: by the first of these that it reaches."""

    target_bytes: int
    max_files: int

    def is_sealed(self, filled: Filled) -> bool:
        """Whether a shard takes no more files."""
        return filled.files >= self.max_files or filled.size_bytes >= self.target_bytes


def room(limits: Limits, filled: Filled, sizes: Int64s) -> int:
    """How many files, in order, a shard still takes.

    Args:
        sizes: Bytes of each file, int64 [n]; 0 where it is not known.

    >>> limits = Limits(target_bytes=100, max_files=3)
    >>> room(limits, Filled(), np.array([60, 60, 60])), room(limits, Filled(2, 20), np.array([1, 1]))
    (2, 1)
    >>> room(limits, Filled(1, 100), np.array([0])), room(limits, Filled(1, 99), np.array([5000, 1]))
    (0, 1)
    """
    if limits.is_sealed(filled):
        return 0
    held = filled.size_bytes + np.cumsum(sizes[: limits.max_files - filled.files])
    return min(len(held), int(np.searchsorted(held, limits.target_bytes)) + 1)


def fill(limits: Limits, filled: Filled, sizes: Int64s) -> list[Filled]:
    """What shards hold after these files: the open one first, then those that were opened for them.

    Args:
        filled: The open shard before.
        sizes: Bytes of each file in order, int64 [n].

    >>> fill(Limits(100, 3), Filled(2, 20), np.array([1, 150, 7]))
    [Filled(files=3, size_bytes=21), Filled(files=1, size_bytes=150), Filled(files=1, size_bytes=7)]
    """
    shards = [filled]
    at = 0
    while at < len(sizes):
        count = room(limits, shards[-1], sizes[at : at + limits.max_files])
        if not count:
            shards.append(Filled())
            continue
        taken = int(sizes[at : at + count].sum())
        shards[-1] = Filled(shards[-1].files + count, shards[-1].size_bytes + taken)
        at += count
    return shards
