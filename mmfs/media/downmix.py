"""Any channels as one or two: what each contributes to left and right, as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SIDE = math.sqrt(0.5)
#: What channels contribute to left and right, by FFmpeg's names; all others do to both sides, if less.
_WEIGHTS = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "DL": (1.0, 0.0), "DR": (0.0, 1.0), "FLC": (1.0, 0.0), "FRC": (0.0, 1.0),
    "BL": (_SIDE, 0.0), "BR": (0.0, _SIDE), "SL": (_SIDE, 0.0), "SR": (0.0, _SIDE), "WL": (_SIDE, 0.0),
    "WR": (0.0, _SIDE), "TFL": (_SIDE, 0.0), "TFR": (0.0, _SIDE), "TBL": (_SIDE, 0.0), "TBR": (0.0, _SIDE),
    "TSL": (_SIDE, 0.0), "TSR": (0.0, _SIDE), "BFL": (_SIDE, 0.0), "BFR": (0.0, _SIDE), "LFE": (0.0, 0.0),
    "LFE2": (0.0, 0.0),
}  # fmt: skip
_BOTH = (_SIDE, _SIDE)
_UNKNOWN = "NONE"
#: What channels without names are, where their number says it.
_UNNAMED = {2: ("FL", "FR"), 6: ("FL", "FR", "FC", "LFE", "BL", "BR")}


def downmix(names: Sequence[str], channels: int) -> npt.NDArray[np.float32]:
    """The matrix, float32 ``[channels, len(names)]``, that makes one or two channels of any.

    Low-frequency channels are left out, as players do. Weights of the louder side sum to 1, so that nothing clips and
    one channel keeps its loudness.

    >>> downmix(["FL", "FR"], 1).tolist(), downmix(["FC"], 2).tolist()
    ([[0.5, 0.5]], [[1.0], [1.0]])
    """
    if set(names) == {_UNKNOWN}:
        names = _UNNAMED.get(len(names), names)
    sides = np.array([_WEIGHTS.get(name, _BOTH) for name in names]).T
    if not sides.any():
        sides = np.ones_like(sides)
    mixed = sides if channels == 2 else sides.mean(axis=0, keepdims=True)
    matrix: npt.NDArray[np.float32] = (mixed / mixed.sum(axis=1).max()).astype(np.float32)
    return matrix
