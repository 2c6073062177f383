"""JPEG, for frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import DROP_DAMAGED, IntegrityError, MissingExtraError


def encode_jpeg(rgb: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode an RGB image, uint8 [H, W, 3], as a 4:2:0 JPEG."""
    simplejpeg = _simplejpeg()
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
    )
    return encoded


def decode_jpeg(
    data: bytes | memoryview, *, least_side: int = 0, out: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.uint8]:
    """Decode a JPEG that mmfs wrote to RGB, uint8 [H, W, 3].

    Args:
        least_side: If given, decode at the smallest eighth of the size at which no side is below this: cheaper than
            whole, for pictures that become smaller anyway.
        out: Where to put the pixels, contiguous uint8 [H, W, 3] of `jpeg_size`; default: a new array.

    Raises:
        IntegrityError: The bytes are not a whole JPEG.
    """
    simplejpeg = _simplejpeg()
    try:
        rgb: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colorspace="RGB", min_height=least_side, min_width=least_side, buffer=out
        )
    except ValueError as error:
        raise IntegrityError(f"bytes are not a JPEG: {error}", mend=DROP_DAMAGED) from error
    return rgb


def jpeg_size(data: bytes | memoryview) -> tuple[int, int]:
    """Height and width of a JPEG, from its header.

    Raises:
        IntegrityError: The bytes do not begin like a JPEG.
    """
    simplejpeg = _simplejpeg()
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise IntegrityError(f"bytes are not a JPEG: {error}", mend=DROP_DAMAGED) from error
    return int(height), int(width)


def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingExtraError(
            "simplejpeg is not installed", where="decoding frames", mend="pip install 'mmfs[loader]'"
        ) from error
    return simplejpeg
