"""Full passes of one side, timed in its own lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from measuring.mixing import distinct_over_ideal
from measuring.usage import cpu_s

#: What a side delivers: keys of a batch and its values.
Batches = Iterator[tuple[Sequence[str], Any]]
#: Opens a dataset and returns what starts an epoch.
Opening = Callable[[], Callable[[], Batches]]


@dataclass(frozen=True)
class Outcome:
    """One timed stretch of whole epochs, the last one cut off when time is up.

    Attributes:
        samples: Delivered.
        wall_s, cpu_s: What it took; the processor time of worker processes is in it.
        epoch: Samples of the first epoch, None if it was cut off.
        mixing: Distinct videos in a batch of 64 over ideal, of the first epoch.
    """

    samples: int
    wall_s: float
    cpu_s: float
    epoch: int | None
    mixing: float | None

    @property
    def per_s(self) -> float:
        return self.samples / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        return self.samples / max(self.cpu_s, 1e-9)


def passes(opening: Opening, videos: int) -> Callable[[], Callable[[float, float], Outcome]]:
    """For `Lane`: a function that runs epochs for at least and at most so many seconds; the first call opens."""

    def begin() -> Callable[[float, float], Outcome]:
        import torch

        torch.set_num_threads(1)
        epoch: Callable[[], Batches] | None = None

        def run(least_s: float, most_s: float) -> Outcome:
            nonlocal epoch
            began, cpu_began = time.perf_counter(), cpu_s()
            epoch = epoch or opening()
            keys: list[Sequence[str]] = []
            samples, first_epoch = 0, None
            elapsed = 0.0
            while elapsed < least_s or first_epoch is None:
                batches = epoch()
                for batch_keys, _ in batches:
                    samples += len(batch_keys)
                    if first_epoch is None:
                        keys.append(batch_keys)
                    elapsed = time.perf_counter() - began
                    if elapsed > most_s:
                        break
                else:
                    first_epoch = first_epoch or samples
                    elapsed = time.perf_counter() - began
                    continue
                close = getattr(batches, "close", None)
                if close is not None:
                    close()
                break
            wall_s = time.perf_counter() - began
            return Outcome(samples, wall_s, cpu_s() - cpu_began, first_epoch, distinct_over_ideal(keys, videos))

        return run

    return begin
