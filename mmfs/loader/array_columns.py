"""Sound and other arrays in batches: stacked, the last axis padded with zeros, and how long each one was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError
from mmfs.loader.buffers import BufferPool
from mmfs.loader.columns import BlobColumn, Size

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[np.float32]


class ArrayColumn(BlobColumn):
    """Arrays float32 [..., *axes, longest], and their lengths on the last axis, int64 [...], as ``<column>:length``.

    Sound [C, T] becomes [B, C, T] with zeros after its end: waveforms and lengths, as speech models take them. Arrays
    of one shape come as they are, every length the same. A missing one is zeros of length 0.
    """

    def __init__(self, decode: Callable[[bytes], Array]) -> None:
        self._decode = decode

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> list[Array | None]:
        return [None] * places

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        room[place] = self._decode(data)

    def clear(self, room: Any, place: int) -> None:
        room[place] = None

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        """The arrays, stacked.

        Raises:
            LoaderError: They differ in more than the length of their last axis.
        """
        import torch

        shapes = {array.shape[:-1] for array in room if array is not None}
        if len(shapes) > 1:
            raise LoaderError(
                "arrays of a batch differ in more than their length: " + " and ".join(f"{[*s, 'T']}" for s in shapes),
                mend="compute them with one number of channels and one shape, or read them with decode=False",
            )
        longest = max((array.shape[-1] for array in room if array is not None), default=0)
        stacked = np.zeros((len(room), *next(iter(shapes), ()), longest), np.float32)
        for place, array in enumerate(room):
            if array is not None:
                stacked[place, ..., : array.shape[-1]] = array
        return torch.from_numpy(stacked).reshape(*shape, *stacked.shape[1:])

    def extras(self, room: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        import torch

        lengths = [0 if array is None else array.shape[-1] for array in room]
        return {"length": torch.tensor(lengths, dtype=torch.int64).reshape(shape)}

    def several(self, values: Any) -> list[Tensor]:
        """A list of tensors, not padded: each sample has another number of them."""
        import torch

        return [torch.from_numpy(array) if array is not None else torch.zeros(0) for array in values]
