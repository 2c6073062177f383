"""Small pictures in rows on one small JPEG, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmfs.codecs import encode_jpeg

Picture = npt.NDArray[np.uint8]

_GAP = 4
_BACKGROUND = 24
_QUALITIES = (80, 60, 40, 25)
_WAVE, _PAPER = (120, 200, 255), (44, 44, 52)


def contact_sheet(pictures: Sequence[Picture], *, tile: int = 112, columns: int = 6, max_bytes: int = 34_000) -> bytes:
    """Pictures side by side, each fitted into a square.

    Args:
        pictures: RGB, uint8 ``[H, W, 3]``, of any sizes; at least one.
        tile: Side of the squares in pixels.
        columns: Squares in a row.
        max_bytes: The JPEG's quality is lowered until it is smaller, and then its size.
    """
    sheet = _laid_out([fitted(picture, tile) for picture in pictures], tile, columns)
    for quality in _QUALITIES:
        jpeg = encode_jpeg(sheet, quality)
        if len(jpeg) <= max_bytes:
            return jpeg
    return contact_sheet(pictures, tile=tile * 3 // 4, columns=columns, max_bytes=max_bytes) if tile > 16 else jpeg


def depth_colours(depth: npt.NDArray[np.float32]) -> Picture:
    """A depth map, float32 ``[H, W]``, as colours: its smallest value dark blue, its largest bright yellow."""
    low, high = float(depth.min()), float(depth.max())
    share = (depth - low) / (high - low) if high > low else np.zeros_like(depth)
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(share, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def waveform(samples: npt.NDArray[np.float32], *, side: int = 112) -> Picture:
    """Sound, float32 ``[C, T]`` of -1 to 1, as a picture: time to the right, the range of all channels up and down."""
    columns = np.array_split(samples, min(side, samples.shape[1]), axis=1)
    lows, highs = (np.array([find(column) for column in columns]).clip(-1, 1) for find in (np.min, np.max))
    rows = np.linspace(1, -1, side)[:, None]
    step = 2 / (side - 1)  # so that silence is a line
    drawn = (rows >= lows - step / 2) & (rows <= highs + step / 2)
    stretched = drawn[:, np.arange(side) * len(columns) // side]
    return np.where(stretched[..., None], _WAVE, _PAPER).astype(np.uint8)


#: Dark blue to yellow, of rising brightness, so that it also reads without colours.
_COLOURS = np.array([(13, 8, 60), (84, 20, 125), (158, 40, 110), (219, 85, 70), (248, 155, 40), (245, 240, 120)])


def fitted(picture: Picture, tile: int) -> Picture:
    """The picture at the size that fits into the square, by averaging the pixels that fall together."""
    height, width = picture.shape[:2]
    scale = tile / max(height, width)
    rows = np.unique(np.linspace(0, height, max(1, round(height * scale)) + 1)[:-1].astype(int))
    columns = np.unique(np.linspace(0, width, max(1, round(width * scale)) + 1)[:-1].astype(int))
    summed = np.add.reduceat(np.add.reduceat(picture.astype(np.uint32), rows, axis=0), columns, axis=1)
    counts = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))[None, :]
    averaged: Picture = (summed / counts[..., None]).astype(np.uint8)
    return averaged


def _laid_out(pictures: Sequence[Picture], tile: int, columns: int) -> Picture:
    across = min(columns, len(pictures))
    down = math.ceil(len(pictures) / across)
    step = tile + _GAP
    sheet = np.full((down * step + _GAP, across * step + _GAP, 3), _BACKGROUND, np.uint8)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        top = (number // across) * step + _GAP + (tile - height) // 2
        left = (number % across) * step + _GAP + (tile - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet
