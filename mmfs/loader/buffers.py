"""Batch buffers that are used again once nobody holds them: a fresh 50 MB costs more than copying into it."""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt


class BufferPool:
    """Arrays by shape and dtype.

    A batch's tensors keep their array alive, so an array whose only references are the pool's own is free. Whoever
    keeps batches keeps their arrays, and new ones are made.

    Args:
        most: Arrays of one shape that are kept for later.
        pinned: Page-locked memory, which a GPU reads without a copy in between.
    """

    def __init__(self, most: int, *, pinned: bool = False) -> None:
        self._most = most
        self._pinned = pinned
        self._lock = threading.Lock()
        self._arrays: dict[tuple[tuple[int, ...], str], list[npt.NDArray[np.generic]]] = {}

    def take(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.generic]:
        """A C-contiguous array of undefined content."""
        with self._lock:
            kept = self._arrays.setdefault((shape, dtype), [])
            for array in kept:
                if sys.getrefcount(array) == _UNHELD:
                    return array
            array = self._new(shape, dtype)
            if len(kept) < self._most:
                kept.append(array)
            return array

    def _new(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.generic]:
        if not self._pinned:
            return np.empty(shape, dtype)
        import torch

        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw: npt.NDArray[np.generic] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        return raw.view(dtype).reshape(shape)


def _references_when_unheld() -> int:
    """What getrefcount says, in the loop of `BufferPool.take`, of an array that only the pool holds."""
    kept = [np.empty(0)]
    for array in kept:
        return sys.getrefcount(array)
    raise AssertionError("unreachable")


_UNHELD = _references_when_unheld()
