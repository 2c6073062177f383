"""Shape buckets: which of a few picture sizes each sample is cut to. Pure functions of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mmfs.errors import PinError
from mmfs.schemas import Grain
from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Int64s
from mmfs.store.pin import PinnedColumn

#: Height and width in pixels.
Size = tuple[int, int]

MOST_BUCKETS = 64

_PICTURES = ("jpeg", "depth16")


def checked_buckets(sizes: Sequence[Size]) -> tuple[Size, ...]:
    """The sizes, if buckets can be made of them.

    Raises:
        PinError: A size is no pair of positive integers, two are equal, or there are more than `MOST_BUCKETS`.

    >>> checked_buckets([(256, 256), [224, 288]])
    ((256, 256), (224, 288))
    """
    found = tuple(_checked(size) for size in sizes)
    if len(found) > MOST_BUCKETS:
        raise PinError(f"{len(found)} buckets", mend=f"give {MOST_BUCKETS} at most")
    twice = [size for number, size in enumerate(found) if size in found[:number]]
    if twice:
        raise PinError(f"bucket {twice[0]} is given twice", mend="give each height and width once")
    return found


def nearest_buckets(heights: Int64s, widths: Int64s, sizes: Sequence[Size]) -> Int64s:
    """The bucket whose log aspect ratio is nearest to that of each picture, int64 [n]; of equally near ones the first.

    Args:
        heights, widths: Of the pictures, in pixels, each int64 [n] and positive.
        sizes: Height and width of each bucket.

    >>> nearest_buckets(np.array([480, 640, 300]), np.array([640, 480, 300]), [(256, 256), (224, 288), (288, 224)])
    array([1, 2, 0])
    """
    # exp |log(a) - log(b)| is the larger of a / b and b / a: quotients of integers, the same on every machine.
    across = heights[:, None] * np.array([width for _, width in sizes], np.int64)
    along = widths[:, None] * np.array([height for height, _ in sizes], np.int64)
    found: Int64s = (np.maximum(across, along) / np.minimum(across, along)).argmin(axis=1).astype(np.int64)
    return found


def size_columns(grain: Grain) -> tuple[str, str, str]:
    """Table, height column and width column that say how large the picture of a sample of this grain is stored.

    >>> size_columns("frame")
    ('frames', 'frame_height', 'frame_width')
    """
    return ("frames", "frame_height", "frame_width") if grain == "frame" else ("raw_media", "height", "width")


def lengths_in(column: pa.ChunkedArray) -> Int64s:
    """Heights or widths, int64 [n]; 0 for those that are not known.

    >>> lengths_in(pa.chunked_array([[480, None, -1]])).tolist()
    [480, 0, 0]
    """
    known = column.cast(pa.int64()).fill_null(0) if column.null_count else column
    lengths = as_numpy(known).astype(np.int64)
    return np.maximum(lengths, 0)


def check_pictures(columns: Mapping[str, PinnedColumn], grain: Grain) -> None:
    """Raise a PinError unless a column holds pictures or depth maps of the samples themselves."""
    if not any(one.kind == "blob" and one.codec in _PICTURES and one.grain == grain for one in columns.values()):
        raise PinError(
            f"buckets= needs a picture or depth column whose rows are the samples ({grain})",
            mend='pin one, for example "frames.image", or leave buckets= out',
        )


def refuse_sizeless(lacking: int, samples: int, grain: Grain) -> None:
    """Raise a PinError if samples lack the size of their picture."""
    if lacking:
        table, height, width = size_columns(grain)
        raise PinError(
            f"{lacking:,} of the {samples:,} samples ({grain}) have no {height} and {width}, and buckets= goes by them",
            where=table,
            mend=f"materialize {table}, or pin with where='{table}.{height} > 0 AND {table}.{width} > 0'",
        )


def _checked(size: Size) -> Size:
    values = tuple(size)
    if len(values) != 2 or not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in values):
        raise PinError(f"{size!r} is no bucket", mend="give height and width in pixels, for example (224, 288)")
    return values[0], values[1]
