"""Full passes of mmfs and its peers over the same samples: cold, then warm in interleaved repeats."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peers import Task, dataset, installed, peer, write_dataset

from measuring.goals import goal
from measuring.lanes import Lane, LaneError, once
from measuring.options import Options
from measuring.passes import Opening, Outcome, passes
from measuring.usage import drop_page_cache

OURS = "mmfs"
#: A first epoch, with opening the data, is cut off after so long.
_COLD_S = 10.0


@dataclass(frozen=True)
class Ratios:
    """Medians of mmfs over those of each side, and by a peer's bare name over its better side; None where it failed.

    Attributes:
        per_s: Samples a second.
        per_cpu_s: Samples a CPU-second.
    """

    per_s: dict[str, float | None]
    per_cpu_s: dict[str, float | None]

    def goal(self, claim: str, rival: str, bound: float) -> dict[str, Any]:
        """A goal on samples a second over a rival; not measured where that is not installed."""
        return goal(claim, self.per_s.get(rival), "at least", bound, by_cpu=self.per_cpu_s.get(rival))


class Side:
    """One contestant: its lane, and what it did there."""

    def __init__(self, opening: Opening, folder: Path, videos: int) -> None:
        self._lane = Lane(passes(opening, videos))
        self.folder = folder
        self.cold: Outcome | None = None
        self.warm: list[Outcome] = []
        self.failure: str | None = None

    @property
    def per_s(self) -> float:
        return statistics.median(one.per_s for one in self.warm) if self.warm else 0.0

    @property
    def per_cpu_s(self) -> float:
        return statistics.median(one.per_cpu_s for one in self.warm) if self.warm else 0.0

    def run_cold(self) -> None:
        drop_page_cache(self.folder)
        self.cold = self._run(0.0, _COLD_S)

    def run(self, options: Options) -> None:
        if self.failure is None and (outcome := self._run(options.least_s, options.most_s)) is not None:
            self.warm.append(outcome)

    def close(self) -> None:
        self._lane.close()

    def figures(self, samples: int) -> dict[str, Any]:
        """What is reported: samples a second and a CPU-second (medians), cold samples a second, shuffle quality."""
        if self.failure is not None or self.cold is None:
            return {"failed": self.failure}
        return {
            "per_s": round(self.per_s),
            "per_cpu_s": round(self.per_cpu_s),
            "cold_per_s": round(self.cold.per_s),
            "mixing": self.cold.mixing,
            "repeats": len(self.warm),
            **({"epoch": self.cold.epoch} if self.cold.epoch not in (samples, None) else {}),
        }

    def _run(self, least_s: float, most_s: float) -> Outcome | None:
        try:
            found: Outcome = self._lane.call(least_s, most_s)
        except LaneError as error:
            self.failure = str(error).strip().splitlines()[-1]
            return None
        return found


def race(
    options: Options,
    task: Callable[[int], Task],
    ours: Opening,
    *,
    peers: Iterable[str],
    others: Mapping[str, Opening] | None = None,
) -> tuple[dict[str, dict[str, Any]], Ratios]:
    """Race mmfs, others on the same store, and every installed peer at 0 and at 2 workers.

    Each side runs one epoch cold (a new process, its files dropped from the page cache, opening included) and one warm;
    then the better of a peer's two numbers of workers goes on, interleaved with the rest.

    Args:
        options: Sizes.
        task: The pass for a number of workers.
        ours: Opens mmfs.
        peers: Names; those that are not installed are left out.
        others: More sides by name.

    Returns:
        Figures of each side by name, and mmfs over each peer's better one and over each of the others.
    """
    samples = options.samples
    here = list(installed(peers))
    for name in here:
        once(write_dataset, samples, name, task(0).layout)
    rivals: dict[str, list[str]] = {name: [name] for name in others or {}}
    sides: dict[str, Side] = {}
    done: dict[str, Side] = {}
    try:
        for name, opening in {OURS: ours, **(others or {})}.items():
            sides[name] = Side(opening, samples.folder / "store", samples.videos)
            sides[name].run_cold()
            sides[name].run(options)
        for name in here:
            rivals[name] = []
            for workers in (0,) if options.quick else (0, 2):
                label, folder = f"{name} {workers} workers", dataset(samples, name, task(0).layout)
                rivals[name].append(label)
                opening = partial(_open_peer, name, folder, task(workers))
                sides[label] = Side(opening, folder, samples.videos)
                sides[label].run_cold()
                sides[label].run(options)
            for worse in sorted(rivals[name], key=lambda label: sides[label].per_s)[:-1]:
                sides[worse].close()
                done[worse] = sides.pop(worse)
                rivals[name].remove(worse)
        for side in sides.values():
            side.warm = side.warm[:0] if options.repeats > 1 else side.warm
        for _ in range(options.repeats if options.repeats > 1 else 0):
            for side in sides.values():
                side.run(options)
        mine, everyone = sides[OURS], done | sides
        rest = {name: side for name, side in everyone.items() if side is not mine}
        compared = rest | {name: sides[label] for name, (label,) in rivals.items()}
        return {label: side.figures(samples.count) for label, side in sorted(everyone.items())}, Ratios(
            {name: _over(mine.per_s, side.per_s) for name, side in compared.items()},
            {name: _over(mine.per_cpu_s, side.per_cpu_s) for name, side in compared.items()},
        )
    finally:
        for side in sides.values():
            side.close()


def _over(mine: float, other: float) -> float | None:
    return round(mine / other, 3) if other > 0 else None


def _open_peer(name: str, folder: Path, task: Task) -> Any:
    return peer(name).epochs(folder, task)
