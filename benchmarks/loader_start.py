"""How long does a training process wait for its first batch, and does it wait longer when it resumes?

Each in a new process that has imported torch and nothing else: import, open, first batch of 256 stored JPEGs. Resuming
does the same with a state from the middle of an epoch. Page cache as the repeat before left it, and once dropped.

    python benchmarks/loader_start.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

import compileall
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch  # noqa: F401  loaded before the lanes fork: the time to import it is nobody's merit
from making.samples import Samples
from measuring.goals import goal
from measuring.lanes import LaneError, once
from measuring.options import Options, run
from measuring.usage import cpu_s, drop_page_cache
from peers import NAMES, Task, dataset, installed, peer, write_dataset

OURS = ("mmfs", "mmfs resumed")
#: Peers that took more than so many times the best one's, cold, are not repeated.
_LIKELY = 4.0


class Spent(NamedTuple):
    """Seconds to the first batch."""

    wall_s: float
    cpu_s: float


def measure(options: Options) -> dict[str, Any]:
    """Medians of interleaved repeats, ratios, and goals."""
    samples = options.samples
    # As when installed: an edited checkout may lack its bytecode, and where Python must not write any, every start
    # would compile it.
    compileall.compile_dir(Path(__file__).parents[1] / "mmfs", quiet=1)
    state = once(halfway, samples)
    ways: dict[str, Callable[[], Spent]] = {
        "mmfs": partial(with_mmfs, samples, None),
        "mmfs resumed": partial(with_mmfs, samples, state),
    }
    for name in installed(NAMES):
        once(write_dataset, samples, name, "images")
        for workers in (0,) if options.quick else (0, 2):
            ways[f"{name} {workers} workers"] = partial(with_peer, samples, name, workers)
    cold: dict[str, Spent] = {}
    for name, way in ways.items():
        drop_page_cache(samples.folder)
        try:
            cold[name] = once(way, limit_s=60)
        except LaneError:
            continue
    likely_s = _LIKELY * min((spent.wall_s for name, spent in cold.items() if name not in OURS), default=0.0)
    warm: dict[str, list[Spent]] = {
        name: [] for name, spent in cold.items() if name in OURS or spent.wall_s <= likely_s
    }
    for _ in range(options.repeats):
        for name, spent_warm in warm.items():
            spent_warm.append(once(ways[name]))
    sides = {
        name: {
            "page_cache_dropped_s": round(spent.wall_s, 3),
            **(
                {
                    "warm_s": round(statistics.median(one.wall_s for one in warm[name]), 3),
                    "warm_cpu_s": round(statistics.median(one.cpu_s for one in warm[name]), 3),
                }
                if name in warm
                else {}
            ),
        }
        for name, spent in cold.items()
    }
    mine, resumed = (sides[name] for name in OURS)
    best = min((name for name in warm if name not in OURS), key=lambda name: sides[name]["warm_s"], default=None)
    first, first_cpu = (mine[unit] / sides[best][unit] if best else None for unit in ("warm_s", "warm_cpu_s"))
    again, again_cpu = (resumed[unit] / mine[unit] for unit in ("warm_s", "warm_cpu_s"))
    return {
        "sides": sides,
        "best_peer": best,
        "goals": [
            goal("first batch, over the best peer's", first, "at most", 0.5, by_cpu=first_cpu),
            goal("first batch of a resumed run, over a fresh one's", again, "at most", 1.5, by_cpu=again_cpu),
        ],
    }


def halfway(samples: Samples) -> dict[str, Any]:
    """The state after half of an epoch."""
    loader = samples.loader("image", decode=False)
    for number, _ in enumerate(loader, start=1):
        if number * 2 >= len(loader):
            break
    found: dict[str, Any] = loader.state_dict()
    return found


def with_mmfs(samples: Samples, state: dict[str, Any] | None) -> Spent:
    began, cpu_began = time.perf_counter(), cpu_s()
    loader = samples.loader("image", decode=False)
    if state is not None:
        loader.load_state_dict(state)
    next(iter(loader))
    return Spent(time.perf_counter() - began, cpu_s() - cpu_began)


def with_peer(samples: Samples, name: str, workers: int) -> Spent:
    began, cpu_began = time.perf_counter(), cpu_s()
    epoch = peer(name).epochs(dataset(samples, name, "images"), Task("raw", workers))
    next(epoch())
    return Spent(time.perf_counter() - began, cpu_s() - cpu_began)


if __name__ == "__main__":
    run(measure, __doc__)
