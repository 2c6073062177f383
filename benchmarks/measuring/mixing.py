"""How well batches are mixed: distinct videos among 64 samples, over what random draws would give."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

SAMPLES = 64


def ideal(videos: int) -> float:
    """Distinct videos that 64 random draws hold on average.

    >>> round(ideal(400), 1)
    59.2
    """
    return videos * (1 - (1 - 1 / videos) ** SAMPLES)


def distinct_over_ideal(batches: Iterable[Sequence[str]], videos: int) -> float | None:
    """The mean over all whole runs of 64 keys (``<media>:<frame>``) inside a batch; None where there is none."""
    found = [
        len({key.split(":")[0] for key in batch[start : start + SAMPLES]})
        for batch in batches
        for start in range(0, len(batch) - SAMPLES + 1, SAMPLES)
    ]
    return round(statistics.mean(found) / ideal(videos), 3) if found else None
