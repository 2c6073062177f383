"""Hits of one video that lie close together, merged into time ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Frames of a video at most this far apart belong to one segment.
GAP_S = 2.0


@dataclass(frozen=True)
class Moment:
    """A hit in time: its position in the answer, its media, when it is, and its score."""

    position: int
    media_id: str
    time_s: float
    score: float


@dataclass(frozen=True)
class Segment:
    """Neighbouring moments.

    Attributes:
        best: Position of its best hit.
        start_s: Time of its first hit.
        end_s: Time of its last hit.
        hits: How many there are.
    """

    best: int
    start_s: float
    end_s: float
    hits: int


def segments(moments: Sequence[Moment], *, gap_s: float = GAP_S) -> list[Segment]:
    """Merge moments of one media that are at most ``gap_s`` apart; segments come by their best score.

    >>> at = [(0, 1.0, 0.9), (1, 7.0, 0.8), (2, 2.5, 0.7)]
    >>> [(s.start_s, s.end_s) for s in segments([Moment(n, "m", t, score) for n, t, score in at])]
    [(1.0, 2.5), (7.0, 7.0)]
    """
    ordered = sorted(moments, key=lambda moment: (moment.media_id, moment.time_s))
    runs: list[list[Moment]] = []
    for moment in ordered:
        last = runs[-1][-1] if runs else None
        if last and last.media_id == moment.media_id and moment.time_s - last.time_s <= gap_s:
            runs[-1].append(moment)
        else:
            runs.append([moment])
    found = []
    for run in runs:
        best = max(run, key=lambda moment: (moment.score, -moment.position))
        found.append((best.score, Segment(best.position, run[0].time_s, run[-1].time_s, len(run))))
    return [segment for _, segment in sorted(found, key=lambda pair: (-pair[0], pair[1].best))]
