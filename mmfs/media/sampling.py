"""Which frames of a video to keep: pure functions over presentation times.

Times are integers in the stream's own time base, so that no rounding decides about a frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal


@dataclass(frozen=True)
class Sampling:
    """`mmfs.settings.FramesConfig` without Pydantic, so that decoding processes start fast."""

    mode: Literal["fps", "keyframes", "all"]
    fps: float
    short_side: int
    quality: int


def choose(
    sampling: Sampling, pts: Sequence[int], keys: Collection[int], *, end: int, time_base: Fraction
) -> list[int]:
    """The ordinals of the frames to keep, ascending.

    Args:
        pts: Presentation times of all frames, strictly ascending.
        keys: Presentation times of the frames that start a group of pictures.
        end: When the last frame ceases to be shown.
        time_base: Seconds a unit of these times.
    """
    if sampling.mode == "all":
        return list(range(len(pts)))
    if sampling.mode == "keyframes":
        return [ordinal for ordinal, time in enumerate(pts) if time in keys]
    return at_rate(pts, end=end, time_base=time_base, fps=sampling.fps)


def at_rate(pts: Sequence[int], *, end: int, time_base: Fraction, fps: float) -> list[int]:
    """The ordinals of the frames on screen at the first frame's time plus 0, 1/fps, 2/fps, ... seconds.

    A frame that several such moments fall on is kept once; the first frame is always kept. Time and memory are
    bounded by the number of frames, whatever the times say.

    >>> at_rate([0, 3, 6, 9, 12], end=15, time_base=Fraction(1, 10), fps=1.0)
    [0, 3]
    """
    if not pts:
        return []
    # Moment k lies at k / fps; a time t has seen moments 0 .. ceil(t * fps) - 1 begin before it.
    rate = time_base * Fraction(str(fps))
    bounds = [_ceil_div((time - pts[0]) * rate.numerator, rate.denominator) for time in pts]
    bounds.append(max(_ceil_div((end - pts[0]) * rate.numerator, rate.denominator), bounds[-1]))
    kept = [ordinal for ordinal in range(len(pts)) if bounds[ordinal] < bounds[ordinal + 1]]
    return kept if kept and kept[0] == 0 else [0, *kept]


def stored_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """The size of a stored frame: the short side as asked, never scaled up, never beyond what JPEG can hold.

    >>> stored_size(1920, 1080, 256), stored_size(100, 50, 256)
    ((455, 256), (100, 50))
    """
    scale = min(Fraction(1), Fraction(short_side, min(width, height)), Fraction(_JPEG_SIDE, max(width, height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


_JPEG_SIDE = 65_500


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
