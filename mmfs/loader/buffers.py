"""Batch buffers that are used again once nobody holds them: a fresh 50 MB costs more than copying into it."""

from __future__ import annotations

import math
import sys
import threading

import numpy as np
import numpy.typing as npt


class BufferPool:
    """Arrays by size and dtype.

    A batch's tensors keep their memory alive, so memory whose only references are the pool's own is free. Whoever
    keeps batches keeps their memory, and new one is taken. Sizes are rounded up by an eighth at most, so that batches
    of different shape buckets, which are of about one size, share their memory.

    Args:
        most: Arrays of one size that are kept for later.
        pinned: Page-locked memory, which a GPU reads without a copy in between.
    """

    def __init__(self, most: int, *, pinned: bool = False) -> None:
        self._most = most
        self._pinned = pinned
        self._lock = threading.Lock()
        self._memory: dict[tuple[int, str], list[npt.NDArray[np.uint8]]] = {}

    def take(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.generic]:
        """A C-contiguous array of undefined content."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            kept = self._memory.setdefault((_rounded(size), dtype), [])
            for memory in kept:
                if sys.getrefcount(memory) == _UNHELD:
                    return memory[:size].view(dtype).reshape(shape)
            memory = self._new(_rounded(size))
            if len(kept) < self._most:
                kept.append(memory)
            return memory[:size].view(dtype).reshape(shape)

    def _new(self, size: int) -> npt.NDArray[np.uint8]:
        if not self._pinned:
            return np.empty(size, np.uint8)
        import torch

        memory: npt.NDArray[np.uint8] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        return memory


def _rounded(size_bytes: int) -> int:
    """
    >>> _rounded(256 * 256 * 3) == _rounded(224 * 288 * 3)
    True
    """
    step = 1 << max(0, size_bytes.bit_length() - 4)
    return -(-size_bytes // step) * step


def _references_when_unheld() -> int:
    """What getrefcount says, in the loop of `BufferPool.take`, of an array that only the pool holds."""
    kept = [np.empty(0)]
    for array in kept:
        return sys.getrefcount(array)
    raise AssertionError("unreachable")


_UNHELD = _references_when_unheld()
