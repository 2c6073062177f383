"""Pictures and depth maps of one size: scaled until they cover it, centre crop, the same for pictures and depth."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_jpeg, jpeg_size

Pixels = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
Number = TypeVar("Number", np.uint8, np.float32)


def scaled_size(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture, its aspect kept, that just covers ``target`` (height, width).

    >>> scaled_size(480, 640, (256, 256))
    (256, 341)
    >>> scaled_size(480, 640, (192, 320))
    (240, 320)
    """
    high, wide = target
    if high * width >= wide * height:
        return high, max(wide, round(width * high / height))
    return max(high, round(height * wide / width)), wide


def jpeg_into(data: bytes, out: Pixels) -> None:
    """Decode a JPEG into ``out``, uint8 [height, width, 3].

    A picture of exactly that size is decoded in place. A larger one is decoded at the smallest of the eighths of its
    size that is not below what it is scaled to, then resampled (bilinear, antialiased).

    Raises:
        IntegrityError: The bytes are not a whole JPEG.
    """
    height, width = jpeg_size(data)
    target = (out.shape[0], out.shape[1])
    if (height, width) == target:
        decode_jpeg(data, out=out)
        return
    pixels_into(decode_jpeg(data, least_side=min(scaled_size(height, width, target))), out)


def pixels_into(pixels: Pixels, out: Pixels) -> None:
    """Fit a picture, uint8 [H, W, 3], into ``out``, uint8 [height, width, 3]."""
    target = (out.shape[0], out.shape[1])
    scaled = scaled_size(pixels.shape[0], pixels.shape[1], target)
    if pixels.shape[:2] != scaled:
        pixels = _resampled_pixels(pixels, scaled)
    out[:] = _centre(pixels, target)


def depth_into(depth: Depth, out: Depth) -> None:
    """Fit a depth map, float32 [H, W], into ``out``, float32 [height, width]; values are not rescaled."""
    target = (out.shape[0], out.shape[1])
    scaled = scaled_size(depth.shape[0], depth.shape[1], target)
    if depth.shape != scaled:
        depth = _resampled_depth(depth, scaled)
    out[:] = _centre(depth, target)


def _centre(values: npt.NDArray[Number], target: tuple[int, int]) -> npt.NDArray[Number]:
    (high, wide), (height, width) = target, values.shape[:2]
    top, left = (height - high) // 2, (width - wide) // 2
    return values[top : top + high, left : left + wide]


def _resampled_pixels(pixels: Pixels, scaled: tuple[int, int]) -> Pixels:
    import torch
    from torch.nn.functional import interpolate

    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resampled = interpolate(picture, scaled, mode="bilinear", antialias=True)
    found: Pixels = resampled[0].permute(1, 2, 0).numpy()
    return found


def _resampled_depth(depth: Depth, scaled: tuple[int, int]) -> Depth:
    import torch
    from torch.nn.functional import interpolate

    resampled = interpolate(torch.from_numpy(depth)[None, None], scaled, mode="bilinear")
    found: Depth = resampled[0, 0].numpy()
    return found
