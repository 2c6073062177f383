"""Pictures and depth maps in batches: cut to one size and stacked, or as stored in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmfs.codecs import decode_depth16, decode_jpeg
from mmfs.loader.buffers import BufferPool
from mmfs.loader.columns import BlobColumn, Size
from mmfs.loader.decode import depth_into, jpeg_into, pixels_into

if TYPE_CHECKING:
    from torch import Tensor


class PictureColumn(BlobColumn):
    """JPEG as uint8 [..., 3, height, width], in channels-last memory: the order in which the decoder writes."""

    def __init__(self, size: Size) -> None:
        self._size = size

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        return pool.take((places, *(size or self._size), 3), "|u1")

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        jpeg_into(data, room[place])

    def put(self, room: Any, place: int, value: Any) -> None:
        pixels_into(value, room[place])

    def clear(self, room: Any, place: int) -> None:
        room[place] = 0

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        pictures = torch.from_numpy(room).permute(0, 3, 1, 2)
        return pictures if len(shape) == 1 else pictures.reshape(*shape, *pictures.shape[1:])


class DepthColumn(BlobColumn):
    """Depth maps as float32 [..., 1, height, width]."""

    def __init__(self, size: Size) -> None:
        self._size = size

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        return pool.take((places, *(size or self._size)), "<f4")

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        self.put(room, place, decode_depth16(data))

    def put(self, room: Any, place: int, value: Any) -> None:
        depth_into(value, room[place])

    def clear(self, room: Any, place: int) -> None:
        room[place] = 0

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        return torch.from_numpy(room).reshape(*shape, 1, *room.shape[1:])


class StoredPictureColumn(BlobColumn):
    """JPEG at its stored size: a list of uint8 [3, H, W]."""

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        import torch

        return [torch.zeros(3, 0, 0, dtype=torch.uint8)] * places

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        self.put(room, place, decode_jpeg(data))

    def put(self, room: Any, place: int, value: Any) -> None:
        import torch

        room[place] = torch.from_numpy(value).permute(2, 0, 1)

    def clear(self, room: Any, place: int) -> None:
        import torch

        room[place] = torch.zeros(3, 0, 0, dtype=torch.uint8)


class StoredDepthColumn(BlobColumn):
    """Depth maps at their stored size: a list of float32 [1, H, W]."""

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        import torch

        return [torch.zeros(1, 0, 0)] * places

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        self.put(room, place, decode_depth16(data))

    def put(self, room: Any, place: int, value: Any) -> None:
        import torch

        room[place] = torch.from_numpy(value)[None]

    def clear(self, room: Any, place: int) -> None:
        import torch

        room[place] = torch.zeros(1, 0, 0)
