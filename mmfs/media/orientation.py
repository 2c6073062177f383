"""Turning pictures upright: EXIF orientations and the display matrices of videos, brought to one form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Orientation:
    """How to show a stored picture: mirrored left to right first if so, then turned clockwise."""

    rotation_deg: int = 0
    is_mirrored: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown of a picture stored as width x height."""
        return (height, width) if self.rotation_deg % 180 else (width, height)

    def apply(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The upright view of a stored picture, uint8 [H, W, 3]."""
        mirrored = rgb[:, ::-1] if self.is_mirrored else rgb
        return np.rot90(mirrored, -(self.rotation_deg // 90))


UPRIGHT = Orientation()

_EXIF = {
    1: UPRIGHT,
    2: Orientation(0, True),
    3: Orientation(180),
    4: Orientation(180, True),
    5: Orientation(270, True),
    6: Orientation(90),
    7: Orientation(90, True),
    8: Orientation(270),
}


def of_exif(value: object) -> Orientation:
    """The meaning of an EXIF orientation tag; upright for anything that is none.

    >>> of_exif(6)
    Orientation(rotation_deg=90, is_mirrored=False)
    """
    return _EXIF.get(value, UPRIGHT) if isinstance(value, int) else UPRIGHT


def of_matrix(matrix: Sequence[int]) -> Orientation:
    """The nearest quarter turn of a 3x3 display matrix, nine 16.16 fixed-point numbers row by row.

    >>> of_matrix([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30])
    Orientation(rotation_deg=90, is_mirrored=False)
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    is_mirrored = a * d - b * c < 0
    angle = math.degrees(math.atan2(-b, -a) if is_mirrored else math.atan2(b, a))
    return Orientation(round(angle / 90) * 90 % 360, is_mirrored)
