"""A full pass over vectors and captions alone: what do 512 numbers and a line of text a sample cost?

mmfs joins two tables of different grain (a vector a frame, a caption a video); the peers read one table in which the
caption stands beside each vector. All deliver float32 tensors and lists of str.

    python benchmarks/loader_vectors.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from measuring import ours
from measuring.options import Options, run
from measuring.race import race
from peers import Task

_PEERS = ("huggingface", "lancedb", "lance", "litdata", "grain")


def measure(options: Options) -> dict[str, Any]:
    """Figures of each side, ratios, and goals."""
    opening = ours.epochs(options.samples, "vector-caption")
    figures, ratios = race(options, lambda workers: Task("vectors", workers), opening, peers=_PEERS)
    return {
        "sides": figures,
        "mmfs_over": asdict(ratios),
        "goals": [
            ratios.goal("vectors and captions, over HF Arrow at its best", "huggingface", 8),
            ratios.goal("vectors and captions, over LanceDB at its best", "lancedb", 40),
        ],
    }


if __name__ == "__main__":
    run(measure, __doc__)
