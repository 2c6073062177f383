"""Regions of anonymous shared memory, which decoding processes fill and the runner empties.

The memory has no name, so nothing is left behind by a crash; processes get it by its file descriptor.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections import deque

import numpy as np
import numpy.typing as npt

#: Arrays begin at multiples of this, as vectorised code likes it.
ALIGNMENT = 64
_CLAIM_BYTES = 4096
NO_CLAIM = -1


class Ring:
    """Shared memory: a claim for each process, then regions of equal size. Pages cost nothing until they are used.

    Args:
        descriptor: An existing ring's memory, in a process that was given it; None to make a new one.
    """

    def __init__(self, regions: int, region_bytes: int, *, descriptor: int | None = None) -> None:
        self.regions = regions
        self.region_bytes = region_bytes
        size = _CLAIM_BYTES + regions * region_bytes
        self.descriptor = _anonymous(size) if descriptor is None else descriptor
        self._bytes = np.frombuffer(mmap.mmap(self.descriptor, size), np.uint8)
        #: What each process is at: `claim_of` a task and blob, or `NO_CLAIM`.
        self.claims: npt.NDArray[np.int64] = self._bytes[:_CLAIM_BYTES].view(np.int64)
        self._free = deque(range(regions))

    @property
    def free(self) -> int:
        """Regions that nobody holds."""
        return len(self._free)

    def take(self) -> int:
        """Hold a region; there must be a free one."""
        return self._free.popleft()

    def give_back(self, region: int) -> None:
        """Let a region be filled again: what it held is gone."""
        self._free.append(region)

    def region(self, number: int) -> npt.NDArray[np.uint8]:
        """The bytes of a region."""
        start = _CLAIM_BYTES + number * self.region_bytes
        return self._bytes[start : start + self.region_bytes]

    def array(self, region: int, offset: int, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """An array in a region, without a copy."""
        kind = np.dtype(dtype)
        size = kind.itemsize * math.prod(shape)
        return self.region(region)[offset : offset + size].view(kind).reshape(shape)

    def close(self) -> None:
        """Give the descriptor up; the memory goes with the last array that lies in it."""
        os.close(self.descriptor)


def claim_of(task: int, blob: int) -> int:
    """One number that says which blob of which task a process is at.

    >>> task_and_blob(claim_of(7, 31))
    (7, 31)
    """
    return task << 16 | blob


def task_and_blob(claim: int) -> tuple[int, int]:
    """The inverse of `claim_of`."""
    return claim >> 16, claim & 0xFFFF


def _anonymous(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mmfs-ring")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
