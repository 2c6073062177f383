"""From stored bytes to the array that features get, by codec."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_array16, decode_depth16, decode_flac, decode_jpeg, jpeg_size

_DECODERS: dict[str, Callable[[bytes], npt.NDArray[np.float32]]] = {
    "depth16": decode_depth16,
    "array16": decode_array16,
    "flac": decode_flac,
}


class TooLargeError(Exception):
    """An array has no room; ``size`` is what it needs, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


def decode(codec: str, data: bytes) -> npt.NDArray[np.generic]:
    """The decoded value of a blob: uint8 ``[H, W, 3]`` for ``jpeg``, float32 for the others.

    Raises:
        IntegrityError: The bytes are not what their codec says.
    """
    return decode_jpeg(data) if codec == "jpeg" else _DECODERS[codec](data)


def decode_into(codec: str, data: bytes, room: npt.NDArray[np.uint8]) -> tuple[str, tuple[int, ...], int]:
    """Decode a blob to the beginning of ``room``.

    Returns:
        dtype, shape and bytes of the array that lies there.

    Raises:
        TooLargeError: It does not fit.
        IntegrityError: The bytes are not what their codec says.
    """
    if codec == "jpeg":
        shape = (*jpeg_size(data), 3)
        size = int(np.prod(shape))
        if size > len(room):
            raise TooLargeError(size)
        decode_jpeg(data, out=room[:size].reshape(shape))
        return "|u1", shape, size
    array = _DECODERS[codec](data)
    if array.nbytes > len(room):
        raise TooLargeError(array.nbytes)
    room[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return array.dtype.str, array.shape, array.nbytes
