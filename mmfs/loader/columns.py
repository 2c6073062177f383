"""How a column becomes a batch's value: room for it, values one by one or all at once, then a tensor or a list.

Values lie flat: sample i of a window of T rows has places [i * T, (i + 1) * T). Here are numbers, texts and stored
bytes; pictures and depth maps are in `picture_columns`, sound and other arrays in `array_columns`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError
from mmfs.loader.buffers import BufferPool
from mmfs.loader.contents import Contents
from mmfs.loader.fetch import Bad
from mmfs.store.keys import Int64s
from mmfs.store.pin import PinnedColumn

if TYPE_CHECKING:
    from torch import Tensor

Mask = npt.NDArray[np.bool_]
Records = npt.NDArray[np.void]
#: Height and width in pixels.
Size = tuple[int, int]


class BatchColumn(ABC):
    """One column of a batch."""

    @abstractmethod
    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        """An indexable with room for this many values.

        Args:
            size: Height and width of this batch's pictures, where they differ from batch to batch.
        """

    @abstractmethod
    def fill(
        self, room: Any, places: Int64s, values: Records, there: Mask, contents: Contents
    ) -> list[tuple[int, Bad]]:
        """Put stored values at places of the room.

        Args:
            places: Where each value goes, int64 [n].
            values: The column's part of the records [n].
            there: Which of them exist; the rest become what a missing value is.
            contents: What the records point to.

        Returns:
            Which of them (counted from 0) cannot be delivered, and why.
        """

    @abstractmethod
    def put(self, room: Any, place: int, value: Any) -> None:
        """Put one value that was computed: what decoding a stored one would give."""

    @abstractmethod
    def clear(self, room: Any, place: int) -> None:
        """Make a place what a missing value is."""

    def value(self, room: Any, shape: tuple[int, ...]) -> Any:
        """The batch's value, with ``shape`` ([B] or [B, T]) in front."""
        return nested(room, shape)

    def extras(self, room: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        """More values that belong to it; they come as ``<column>:<name>``."""
        return {}

    def several(self, values: Any) -> Any:
        """All values of one sample that has several, as its place in a batch."""
        return self.value(values, (len(values),))


class NumberColumn(BatchColumn):
    """Vectors and scalars, all rows in one copy. float16 is widened: few CPU operators take it."""

    def __init__(self, source: PinnedColumn) -> None:
        kept = np.dtype(source.dtype)
        self._dtype = "<f4" if kept == np.float16 else kept.str
        self._shape = (source.dim,) if source.dim else ()

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> npt.NDArray[np.generic]:
        return pool.take((places, *self._shape), self._dtype)

    def fill(
        self, room: Any, places: Int64s, values: Records, there: Mask, contents: Contents
    ) -> list[tuple[int, Bad]]:
        room[_as_slice(places)] = values
        if not there.all():
            room[places[~there]] = 0
        return []

    def put(self, room: Any, place: int, value: Any) -> None:
        room[place] = value

    def clear(self, room: Any, place: int) -> None:
        room[place] = 0

    def value(self, room: Any, shape: tuple[int, ...]) -> Tensor:
        import torch

        return torch.from_numpy(room).reshape(*shape, *self._shape)


class TextColumn(BatchColumn):
    """Strings; a missing one is empty."""

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> list[str]:
        return [""] * places

    def fill(
        self, room: Any, places: Int64s, values: Records, there: Mask, contents: Contents
    ) -> list[tuple[int, Bad]]:
        for place, (offset, length), is_there in zip(places.tolist(), values.tolist(), there.tolist(), strict=True):
            room[place] = contents.text(offset, length) if is_there else ""
        return []

    def put(self, room: Any, place: int, value: Any) -> None:
        room[place] = value

    def clear(self, room: Any, place: int) -> None:
        room[place] = ""


class BlobColumn(BatchColumn):
    """Bytes as they are stored; a missing one is empty. Base of the decoded ones."""

    def room(self, places: int, pool: BufferPool, size: Size | None = None) -> Any:
        return [b""] * places

    def fill(
        self, room: Any, places: Int64s, values: Records, there: Mask, contents: Contents
    ) -> list[tuple[int, Bad]]:
        bad = []
        numbers = np.flatnonzero(there)
        wanted = zip(numbers.tolist(), places[numbers].tolist(), contents.blobs(values[numbers]), strict=True)
        for number, place, data in wanted:
            if isinstance(data, Bad):
                bad.append((number, data))
                continue
            try:
                self.put_bytes(room, place, data)
            except IntegrityError as error:
                bad.append((number, contents.bad(values[number], error.what)))
        for place in places[~there].tolist():
            self.clear(room, place)
        return bad

    def put_bytes(self, room: Any, place: int, data: bytes) -> None:
        """Put one stored value.

        Raises:
            IntegrityError: The bytes are not what the codec says.
        """
        room[place] = data

    def put(self, room: Any, place: int, value: Any) -> None:
        room[place] = value

    def clear(self, room: Any, place: int) -> None:
        room[place] = b""


def _as_slice(places: Int64s) -> Int64s | slice:
    """The same places; as a slice where they follow one another, which copies several times faster."""
    if len(places) and places[-1] - places[0] == len(places) - 1 and bool((places[1:] > places[:-1]).all()):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def nested(values: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """A flat list as a list of B values, or of B lists of T."""
    if len(shape) == 1:
        return list(values)
    return [list(values[start : start + shape[1]]) for start in range(0, len(values), shape[1])]
