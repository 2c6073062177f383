"""One step of one rank: which samples, and where training stands after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.loader.columns import Size
from mmfs.loader.state import State
from mmfs.store.keys import Int64s


@dataclass(frozen=True)
class Step:
    """What one step delivers to this rank.

    Attributes:
        after: The state once it is delivered.
        samples: Sample numbers, int64 [B].
        valid: False for repeats that only fill the batch, bool [B].
        draws: Numbers that choose captions, int64 [B].
        substitutes: Other samples, in order, should every one of these be bad.
        size: Height and width of this step's pictures; None: the loader's own.
    """

    after: State
    samples: Int64s
    valid: npt.NDArray[np.bool_]
    draws: Int64s
    substitutes: Callable[[], Iterator[int]]
    size: Size | None = None
