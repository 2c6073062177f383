"""Random batches of row numbers for map-style datasets: one look-up a batch, as DataLoader's documentation advises."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class RandomBatches(Sampler[list[int]]):
    """Each epoch another permutation of the rows, cut into batches.

    Args:
        rows: Number of rows.
        batch_size: Rows of a batch; a multiple of ``run``.
        run: Rows that stay together, in order.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, run: int = 1) -> None:
        self._runs, self._batch_size, self._run = rows // run, batch_size, run
        self._rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._rng.permutation(self._runs)
        each = self._batch_size // self._run
        for start in range(0, self._runs, each):
            firsts = order[start : start + each] * self._run
            yield (firsts[:, None] + np.arange(self._run)).reshape(-1).tolist()

    def __len__(self) -> int:
        return math.ceil(self._runs * self._run / self._batch_size)
