"""A contact sheet of a shard with pictures, sound or arrays, so that people see what was computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.codecs import decode_array16, decode_depth16, decode_flac, decode_jpeg
from mmfs.media.contact_sheet import Picture, contact_sheet, depth_colours, waveform

if TYPE_CHECKING:
    from mmfs.store import Store

#: Longest side of an array as a picture: long and flat ones would otherwise be hardly a line.
_SIDE = 112
#: There is one sheet for every shard, in the log of an orchestrator.
SHEET_BYTES = 12_000


def contact_sheet_of(store: Store, table: str, shard: str, *, pictures: int = 8) -> bytes | None:
    """A small JPEG of some blobs of a shard, evenly drawn; None where it has no rows.

    Args:
        table: A table with a blob column: ``frames``, ``depth_maps``, ...
        pictures: At most this many.
    """
    rows = store.tables.read(table, columns=["pack", "offset", "length", "crc32"], shard=shard)
    if not rows.num_rows:
        return None
    places = np.linspace(0, rows.num_rows - 1, min(pictures, rows.num_rows)).astype(np.int64)
    blobs = store.blobs(table, rows.take(pa.array(places)))
    codec = store.tables.spec(table).codec or "jpeg"
    return contact_sheet([picture_of(codec, blob) for blob in blobs], columns=4, max_bytes=SHEET_BYTES)


def picture_of(codec: str, data: bytes) -> Picture:
    """A blob of a table as a picture, RGB uint8 ``[H, W, 3]``: depth and arrays in colours, sound as its waveform.

    Raises:
        IntegrityError: The bytes are not of this codec.
    """
    return _PICTURES[codec](data)


def _array_colours(data: bytes) -> Picture:
    """An array as colours: its last two axes, the first of the others; rows upwards, as spectrograms are drawn."""
    array = np.atleast_2d(decode_array16(data))
    if not array.size:
        return np.zeros((1, 1, 3), np.uint8)
    plane = array.reshape(-1, *array.shape[-2:])[0, ::-1]
    return depth_colours(_at_most(_at_most(plane, _SIDE).T, _SIDE).T)


def _at_most(plane: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """At most so many rows, each the mean of those that fall together."""
    return np.stack([part.mean(0) for part in np.array_split(plane, min(rows, len(plane)))])


_PICTURES: dict[str, Callable[[bytes], Picture]] = {
    "jpeg": decode_jpeg,
    "depth16": lambda data: depth_colours(decode_depth16(data)),
    "array16": _array_colours,
    "flac": lambda data: waveform(decode_flac(data)),
}
