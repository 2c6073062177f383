"""How heavy values become bytes in packs and back: JPEG for frames, depth16 for depth maps.

Both libraries release the GIL, so decoding scales with threads.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError, MissingExtraError

_DEPTH_HEADER = struct.Struct("<4sHHf")  # magic, width, height, scale
_DEPTH_MAGIC = b"MD16"


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
        raise IntegrityError(f"bytes are not a JPEG: {error}", mend="run `mmfs verify --deep`") from error
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
        raise IntegrityError(f"bytes are not a JPEG: {error}", mend="run `mmfs verify --deep`") from error
    return int(height), int(width)


def encode_depth16(depth: npt.NDArray[np.float32]) -> bytes:
    """Encode a depth map, float32 [H, W], as byte-shuffled float16 under zstd level 1.

    The bytes say their own size. Values are divided by a scale so that the largest fits float16; relative error is
    at most 2^-11.

    Raises:
        ValueError: A value is not finite, or the array is not two-dimensional.
    """
    import zstandard

    if depth.ndim != 2 or not np.isfinite(depth).all():
        raise ValueError(f"a depth map is a finite [H, W] array; got shape {depth.shape}")
    height, width = depth.shape
    scale = depth16_scale(depth)
    half = (depth / scale).astype("<f2").ravel()
    # The high bytes of neighbouring pixels are alike: side by side they compress 2x better than interleaved.
    shuffled = half.view(np.uint8).reshape(-1, 2).T.tobytes()
    return _DEPTH_HEADER.pack(_DEPTH_MAGIC, width, height, scale) + zstandard.ZstdCompressor(level=1).compress(shuffled)


def depth16_scale(depth: npt.NDArray[np.float32]) -> float:
    """What `encode_depth16` divides a depth map by: 1 unless its values come near the end of float16."""
    largest = float(np.abs(depth).max(initial=0.0))
    return largest / 1024.0 if largest > 1024.0 else 1.0


def decode_depth16(data: bytes | memoryview) -> npt.NDArray[np.float32]:
    """Decode `encode_depth16` bytes to float32 [H, W].

    Raises:
        IntegrityError: The bytes are not a depth map.
    """
    import zstandard

    try:
        magic, width, height, scale = _DEPTH_HEADER.unpack_from(data)
        if magic != _DEPTH_MAGIC:
            raise ValueError(f"magic {magic!r}")
        raw = zstandard.ZstdDecompressor().decompress(
            memoryview(data)[_DEPTH_HEADER.size :], max_output_size=2 * width * height
        )
        shuffled = np.frombuffer(raw, np.uint8).reshape(2, width * height)
    except (struct.error, ValueError, zstandard.ZstdError) as error:
        raise IntegrityError(f"bytes are not a depth map: {error}", mend="run `mmfs verify --deep`") from error
    half = np.ascontiguousarray(shuffled.T).view("<f2").reshape(height, width)
    return half.astype(np.float32) * np.float32(scale)


def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingExtraError(
            "simplejpeg is not installed", where="decoding frames", mend="pip install 'mmfs[loader]'"
        ) from error
    return simplejpeg
