"""How each kind of column becomes a batch's value: room for it, one value at a time or all at once, then a tensor.

Values lie flat: sample i of a window of T rows has places [i * T, (i + 1) * T).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_depth16, decode_jpeg
from mmfs.errors import IntegrityError
from mmfs.loader.buffers import BufferPool
from mmfs.loader.decode import depth_into, jpeg_into
from mmfs.loader.fetch import Bad, Fetcher
from mmfs.store.pin import PinnedColumn

if TYPE_CHECKING:
    from torch import Tensor

Mask = npt.NDArray[np.bool_]
Records = npt.NDArray[np.void]
ReadText = Callable[[int, int], str]


class BatchColumn(ABC):
    """One column of a batch."""

    @abstractmethod
    def room(self, places: int, pool: BufferPool) -> Any:
        """An indexable with room for this many values, filled with what a missing value is."""

    @abstractmethod
    def fill(self, room: Any, first: int, values: Records, there: Mask) -> list[tuple[int, Bad]]:
        """Put values at places ``first`` and after.

        Args:
            values: The column's part of the records.
            there: Which of them exist; the rest become what a missing value is.

        Returns:
            Which of them (counted from 0) cannot be delivered, and why.
        """

    def value(self, room: Any, shape: tuple[int, ...]) -> Any:
        """The batch's value, with ``shape`` ([B] or [B, T]) in front."""
        return _nested(room, shape)


class NumberColumn(BatchColumn):
    """Vectors and scalars, all rows in one copy. float16 is widened: few CPU operators take it."""

    def __init__(self, source: PinnedColumn) -> None:
        kept = np.dtype(source.dtype)
        self._dtype = "<f4" if kept == np.float16 else kept.str
        self._shape = (source.dim,) if source.dim else ()

    def room(self, places: int, pool: BufferPool) -> npt.NDArray[np.generic]:
        return pool.take((places, *self._shape), self._dtype)

    def fill(self, room: Any, first: int, values: Records, there: Mask) -> list[tuple[int, Bad]]:
        room[first : first + len(values)] = values
        if not there.all():
            room[first : first + len(values)][~there] = 0
        return []

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        return torch.from_numpy(room).reshape(*shape, *self._shape)


class TextColumn(BatchColumn):
    """Strings; a missing one is empty."""

    def __init__(self, read: ReadText) -> None:
        self._read = read

    def room(self, places: int, pool: BufferPool) -> list[str]:
        return [""] * places

    def fill(self, room: Any, first: int, values: Records, there: Mask) -> list[tuple[int, Bad]]:
        for place, (offset, length) in enumerate(values.tolist()):
            room[first + place] = self._read(offset, length) if there[place] else ""
        return []


class BlobColumn(BatchColumn):
    """Bytes as they are stored; a missing one is empty. Base of the decoded ones."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def room(self, places: int, pool: BufferPool) -> Any:
        return [b""] * places

    def fill(self, room: Any, first: int, values: Records, there: Mask) -> list[tuple[int, Bad]]:
        bad = []
        places = np.flatnonzero(there)
        for place, data in zip(places.tolist(), self._fetcher.fetch(values[places]), strict=True):
            if isinstance(data, Bad):
                bad.append((place, data))
                continue
            try:
                self._put(room, first + place, data)
            except IntegrityError as error:
                bad.append((place, self._fetcher.bad(values[place], error.what)))
        for place in np.flatnonzero(~there).tolist():
            self._clear(room, first + place)
        return bad

    def _put(self, room: Any, place: int, data: bytes) -> None:
        room[place] = data

    def _clear(self, room: Any, place: int) -> None:
        """Make the place what a missing value is."""


class PictureColumn(BlobColumn):
    """JPEG as uint8 [..., 3, size, size], in channels-last memory: the order in which the decoder writes."""

    def __init__(self, fetcher: Fetcher, size: int) -> None:
        super().__init__(fetcher)
        self._size = size

    def room(self, places: int, pool: BufferPool) -> Any:
        return pool.take((places, self._size, self._size, 3), "|u1")

    def _put(self, room: Any, place: int, data: bytes) -> None:
        jpeg_into(data, room[place])

    def _clear(self, room: Any, place: int) -> None:
        room[place] = 0

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        pictures = torch.from_numpy(room).permute(0, 3, 1, 2)
        return pictures if len(shape) == 1 else pictures.reshape(*shape, 3, self._size, self._size)


class DepthColumn(BlobColumn):
    """Depth maps as float32 [..., 1, size, size]."""

    def __init__(self, fetcher: Fetcher, size: int) -> None:
        super().__init__(fetcher)
        self._size = size

    def room(self, places: int, pool: BufferPool) -> Any:
        return pool.take((places, self._size, self._size), "<f4")

    def _put(self, room: Any, place: int, data: bytes) -> None:
        depth_into(data, room[place])

    def _clear(self, room: Any, place: int) -> None:
        room[place] = 0

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        return torch.from_numpy(room).reshape(*shape, 1, self._size, self._size)


class StoredPictureColumn(BlobColumn):
    """JPEG at its stored size: a list of uint8 [3, H, W]."""

    def room(self, places: int, pool: BufferPool) -> Any:
        import torch

        return [torch.zeros(3, 0, 0, dtype=torch.uint8)] * places

    def _put(self, room: Any, place: int, data: bytes) -> None:
        import torch

        room[place] = torch.from_numpy(decode_jpeg(data)).permute(2, 0, 1)


class StoredDepthColumn(BlobColumn):
    """Depth maps at their stored size: a list of float32 [1, H, W]."""

    def room(self, places: int, pool: BufferPool) -> Any:
        import torch

        return [torch.zeros(1, 0, 0)] * places

    def _put(self, room: Any, place: int, data: bytes) -> None:
        import torch

        room[place] = torch.from_numpy(decode_depth16(data))[None]


def batch_column(
    source: PinnedColumn, *, fetcher: Fetcher, read_text: ReadText, decode: bool, size: int | None
) -> BatchColumn:
    """The batch column of a pinned one. Blobs of a codec that has no decoder here stay bytes."""
    if source.kind == "text":
        return TextColumn(read_text)
    if source.kind != "blob":
        return NumberColumn(source)
    if decode and source.codec == "jpeg":
        return StoredPictureColumn(fetcher) if size is None else PictureColumn(fetcher, size)
    if decode and source.codec == "depth16":
        return StoredDepthColumn(fetcher) if size is None else DepthColumn(fetcher, size)
    return BlobColumn(fetcher)


def _nested(values: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) == 1:
        return list(values)
    return [list(values[start : start + shape[1]]) for start in range(0, len(values), shape[1])]
