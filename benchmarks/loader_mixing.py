"""How well is a rank's batch mixed? Distinct videos among its 64 samples, over what random draws would give.

python benchmarks/loader_mixing.py [--json FILE] [--quick]
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: F401  loaded before the lanes fork
from making.samples import Samples
from measuring.goals import goal
from measuring.lanes import once
from measuring.mixing import distinct_over_ideal
from measuring.options import Options, run

_RANKS_TRIED = 8


def measure(options: Options) -> dict[str, Any]:
    """The share of the ideal at world sizes 1, 8 and 64, over one epoch of up to eight ranks, and goals."""
    worlds = (1, 8) if options.quick else (1, 8, 64)
    found = {f"world_size {world}": once(of_world, options.samples, world) for world in worlds}
    return {
        "distinct_videos_over_ideal": found,
        "goals": [
            goal(f"distinct videos in a rank's batch of 64 over ideal, {name}", value, "at least", 0.95)
            for name, value in found.items()
        ],
    }


def of_world(samples: Samples, world_size: int) -> float | None:
    """The mean over whole batches of some ranks; keys come from the loader, no blob is read."""
    batches = []
    for rank in range(0, world_size, -(-world_size // _RANKS_TRIED)):
        options = {"batch_size": 64, "rank": rank, "world_size": world_size, "decode": False}
        for batch in samples.loader("vector", **options):
            if bool(batch["_valid"].all()):
                batches.append(batch["_key"])
    return distinct_over_ideal(batches, samples.videos)


if __name__ == "__main__":
    run(measure, __doc__)
