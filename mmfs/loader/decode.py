"""Pictures and depth maps of one size: short side to ``size``, centre crop, the same for pictures and depth."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_jpeg, jpeg_size

Pixels = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
Number = TypeVar("Number", np.uint8, np.float32)


def scaled_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after the short side became ``size``.

    >>> scaled_size(480, 640, 256)
    (256, 341)
    """
    if height <= width:
        return size, max(size, round(width * size / height))
    return max(size, round(height * size / width)), size


def jpeg_into(data: bytes, out: Pixels) -> None:
    """Decode a JPEG into ``out``, uint8 [size, size, 3].

    A picture of exactly that size is decoded in place. A larger one is decoded at the smallest of the eighths of its
    size that is not below ``size``, then resampled (bilinear, antialiased).

    Raises:
        IntegrityError: The bytes are not a whole JPEG.
    """
    size = out.shape[0]
    if jpeg_size(data) == (size, size):
        decode_jpeg(data, out=out)
        return
    pixels_into(decode_jpeg(data, least_side=size), out)


def pixels_into(pixels: Pixels, out: Pixels) -> None:
    """Fit a picture, uint8 [H, W, 3], into ``out``, uint8 [size, size, 3]."""
    size = out.shape[0]
    if min(pixels.shape[:2]) != size:
        pixels = _resampled_pixels(pixels, size)
    out[:] = _centre(pixels, size)


def depth_into(depth: Depth, out: Depth) -> None:
    """Fit a depth map, float32 [H, W], into ``out``, float32 [size, size]; values are not rescaled."""
    size = out.shape[0]
    if min(depth.shape) != size:
        depth = _resampled_depth(depth, size)
    out[:] = _centre(depth, size)


def _centre(values: npt.NDArray[Number], size: int) -> npt.NDArray[Number]:
    top, left = (values.shape[0] - size) // 2, (values.shape[1] - size) // 2
    return values[top : top + size, left : left + size]


def _resampled_pixels(pixels: Pixels, size: int) -> Pixels:
    import torch
    from torch.nn.functional import interpolate

    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    scaled = interpolate(picture, scaled_size(pixels.shape[0], pixels.shape[1], size), mode="bilinear", antialias=True)
    found: Pixels = scaled[0].permute(1, 2, 0).numpy()
    return found


def _resampled_depth(depth: Depth, size: int) -> Depth:
    import torch
    from torch.nn.functional import interpolate

    scaled = interpolate(
        torch.from_numpy(depth)[None, None], scaled_size(depth.shape[0], depth.shape[1], size), mode="bilinear"
    )
    found: Depth = scaled[0, 0].numpy()
    return found
