"""depth16: a depth map as float16 under zstd."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from mmfs.codecs.halves import pack_halves, unpack_halves
from mmfs.errors import DROP_DAMAGED, IntegrityError

_HEADER = struct.Struct("<4sHHf")  # magic, width, height, scale
_MAGIC = b"MD16"
#: Depth maps beyond this are scaled down to it, so that they keep clear of the end of float16.
DEPTH16_TOP = 1024.0


def encode_depth16(depth: npt.NDArray[np.float32]) -> bytes:
    """Encode a depth map, float32 [H, W], as byte-shuffled float16 under zstd level 1.

    The bytes say their own size. Values are divided by a scale so that the largest fits float16; relative error is
    at most 2^-11.

    Raises:
        ValueError: A value is not finite, or the array is not two-dimensional.
    """
    if depth.ndim != 2 or not np.isfinite(depth).all():
        raise ValueError(f"a depth map is a finite [H, W] array; got shape {depth.shape}")
    height, width = depth.shape
    scale = depth16_scale(depth)
    return _HEADER.pack(_MAGIC, width, height, scale) + pack_halves(depth, scale)


def depth16_scale(depth: npt.NDArray[np.float32]) -> float:
    """What `encode_depth16` divides a depth map by: 1 unless a value is beyond `DEPTH16_TOP`."""
    return max(1.0, float(np.abs(depth).max(initial=0.0)) / DEPTH16_TOP)


def decode_depth16(data: bytes | memoryview) -> npt.NDArray[np.float32]:
    """Decode `encode_depth16` bytes to float32 [H, W].

    Raises:
        IntegrityError: The bytes are not a depth map.
    """
    try:
        magic, width, height, scale = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError(f"magic {magic!r}")
        values = unpack_halves(memoryview(data)[_HEADER.size :], width * height, scale)
    except (struct.error, ValueError) as error:
        raise IntegrityError(f"bytes are not a depth map: {error}", mend=DROP_DAMAGED) from error
    return values.reshape(height, width)
