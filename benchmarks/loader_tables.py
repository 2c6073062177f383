"""What does it cost that a sample's columns lie in several tables?

Two comparisons. Pictures and vectors from `frames` and `clip_embeddings`, against the same bytes in one table that has
both: exactly the cost of the join. And pictures, depth maps and vectors from three tables, against the sum of three
passes over one column each: a table has one blob a row, so that one with both pictures and depth maps cannot be made.

    python benchmarks/loader_tables.py [--json FILE] [--quick] [--repeats 5]
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from measuring import ours
from measuring.goals import goal
from measuring.options import Options, run
from measuring.race import Side

_UNITS = ("per_s", "per_cpu_s")
_PINS = ("image-vector", "wide", "three", "image", "depth", "vector")


def measure(options: Options) -> dict[str, Any]:
    """Samples a second of each pin, stored and decoded, ratios, and goals."""
    found: dict[str, Any] = {}
    goals = []
    for kind, decode in (("raw", False),) if options.quick else (("raw", False), ("decode", True)):
        rates = pins(options, decode=decode)
        joined, joined_cpu = (rates["image-vector"][unit] / rates["wide"][unit] for unit in _UNITS)
        three, three_cpu = (
            rates["three"][unit] * sum(1 / rates[pin][unit] for pin in ("image", "depth", "vector")) for unit in _UNITS
        )
        found[kind] = {"pins": rates}
        claims = {
            "two tables over one with the same bytes": (joined, joined_cpu),
            "three tables over the sum of three passes": (three, three_cpu),
        }
        for claim, (value, by_cpu) in claims.items():
            goals.append(goal(f"{claim}, {kind}", value, "at least", 0.9, by_cpu=by_cpu))
    return found | {"goals": goals}


def pins(options: Options, *, decode: bool) -> dict[str, dict[str, Any]]:
    """Figures of a full pass over each pin, interleaved."""
    samples = options.samples
    sides = {
        pin: Side(ours.epochs(samples, pin, decode=decode), samples.folder / "store", samples.videos) for pin in _PINS
    }
    try:
        for side in sides.values():
            side.run_cold()
        for _ in range(options.repeats):
            for side in sides.values():
                side.run(options)
        return {pin: side.figures(samples.count) for pin, side in sides.items()}
    finally:
        for side in sides.values():
            side.close()


if __name__ == "__main__":
    run(measure, __doc__)
