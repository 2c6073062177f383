"""array16: an array of any meaning as float16 under zstd."""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from mmfs.codecs.halves import pack_halves, unpack_halves
from mmfs.errors import DROP_DAMAGED, IntegrityError

_HEADER = struct.Struct("<4sBf")  # magic, axes, scale; then the length of each axis
_MAGIC = b"MA16"
_MOST_AXES = 4
#: The largest value of an array is scaled to between half of 2 to this and the whole; float16 ends just above.
_TOP_EXPONENT = 15
#: Powers of two that float32 holds in full precision.
_EXPONENTS = (-126, 127)


def encode_array16(array: npt.NDArray[np.float32]) -> bytes:
    """Encode an array, float32 of one to four axes, as byte-shuffled float16 under zstd level 1.

    The bytes say their own shape. Values are divided by a power of two that puts the largest near the end of float16:
    relative error is at most 2^-11 for values down to 2^-28 of the largest.

    Raises:
        ValueError: A value is not finite, or there are no axes or more than four.
    """
    if not 1 <= array.ndim <= _MOST_AXES or not np.isfinite(array).all():
        raise ValueError(f"an array16 is a finite array of one to four axes; got shape {array.shape}")
    largest = float(np.abs(array).max(initial=0.0))
    low, high = _EXPONENTS
    scale = math.ldexp(1.0, min(max(math.frexp(largest)[1] - _TOP_EXPONENT, low), high)) if largest else 1.0
    lengths = struct.pack(f"<{array.ndim}I", *array.shape)
    return _HEADER.pack(_MAGIC, array.ndim, scale) + lengths + pack_halves(array, scale)


def decode_array16(data: bytes | memoryview) -> npt.NDArray[np.float32]:
    """Decode `encode_array16` bytes to float32 of the shape that was encoded.

    Raises:
        IntegrityError: The bytes are no such array.
    """
    try:
        magic, axes, scale = _HEADER.unpack_from(data)
        if magic != _MAGIC or not 1 <= axes <= _MOST_AXES:
            raise ValueError(f"magic {magic!r}, {axes} axes")
        shape = struct.unpack_from(f"<{axes}I", data, _HEADER.size)
        values = unpack_halves(memoryview(data)[_HEADER.size + 4 * axes :], math.prod(shape), scale)
    except (struct.error, ValueError) as error:
        raise IntegrityError(f"bytes are not an array: {error}", mend=DROP_DAMAGED) from error
    return values.reshape(shape)
