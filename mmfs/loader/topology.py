"""Which rank of how many, and which positions of the order are its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Topology:
    """One rank's share of every global step.

    Attributes:
        rank: In [0, world_size).
        world_size: Number of ranks, W.
        batch_size: Samples of a rank and step, B.

    Raises:
        LoaderError: The numbers contradict one another.
    """

    rank: int
    world_size: int
    batch_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise LoaderError(f"rank {self.rank} of world_size {self.world_size}", mend="ranks are 0 to world_size - 1")
        if self.batch_size < 1:
            raise LoaderError(f"batch_size={self.batch_size}", mend="give at least 1")

    @property
    def global_batch(self) -> int:
        """Samples of a step on all ranks together."""
        return self.world_size * self.batch_size

    def positions(self, start: int) -> Int64s:
        """Positions of this rank in the global step that starts at ``start``, int64 [batch_size].

        >>> Topology(1, 2, 3).positions(10).tolist()
        [11, 13, 15]
        """
        return start + self.rank + self.world_size * np.arange(self.batch_size, dtype=np.int64)


def find_topology(rank: int | None, world_size: int | None, batch_size: int) -> Topology:
    """The topology given, else that of an initialised ``torch.distributed``, else RANK and WORLD_SIZE, else one rank.

    Raises:
        LoaderError: Only one of rank and world_size is known, or a variable is no number.
    """
    if (rank is None) != (world_size is None):
        raise LoaderError(f"rank={rank}, world_size={world_size}", mend="give both, or none")
    if rank is None or world_size is None:
        rank, world_size = _from_torch() or _from_environment()
    return Topology(rank, world_size, batch_size)


def _from_torch() -> tuple[int, int] | None:
    # Whoever initialised torch.distributed has imported it.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _from_environment() -> tuple[int, int]:
    try:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError as error:
        raise LoaderError(f"RANK or WORLD_SIZE: {error}", mend="set both to numbers, or unset both") from error
