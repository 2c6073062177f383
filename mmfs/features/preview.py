"""A contact sheet of a table with pictures, sound or arrays, so that people see what was computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def contact_sheet_of(store: Store, table: str, shards: Sequence[str], *, pictures: int = 12) -> bytes | None:
    """A small JPEG of some blobs of these shards, evenly drawn; None where there are no rows.

    Args:
        table: A table with a blob column: ``frames``, ``depth_maps``, ...
        pictures: At most this many.
    """
    spec = store.tables.spec(table)
    counts = store.tables.shards(table)
    filled = [shard for shard in shards if counts.get(shard)][:pictures]
    if not filled:
        return None
    columns = ["pack", "offset", "length", "crc32"]
    chosen = []
    for shard in filled:
        rows = store.tables.read(table, columns=columns, shard=shard)
        wanted = min(rows.num_rows, -(-pictures // len(filled)))
        chosen.append(rows.take(pa.array(np.linspace(0, rows.num_rows - 1, wanted).astype(np.int64))))
    blobs = store.blobs(table, pa.concat_tables(chosen).slice(0, pictures))
    return contact_sheet([picture_of(spec.codec or "jpeg", blob) for blob in blobs])


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
