"""A full pass over stored JPEGs, without decoding: samples a second, of mmfs and of its peers on the same bytes.

python benchmarks/loader_raw.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from measuring import ours
from measuring.options import Options, run
from measuring.race import race
from peers import NAMES, Task


def measure(options: Options) -> dict[str, Any]:
    """Figures of each side, ratios, and goals."""
    opening = ours.epochs(options.samples, "image", decode=False)
    figures, ratios = race(options, lambda workers: Task("raw", workers), opening, peers=NAMES)
    return {
        "sides": figures,
        "mmfs_over": asdict(ratios),
        "goals": [
            ratios.goal("raw bytes, over litData at its best", "litdata", 1.5),
            ratios.goal("raw bytes, over LanceDB at 2 workers", "lancedb 2 workers", 10),
            ratios.goal("raw bytes, over MosaicML at 2 workers", "mosaicml 2 workers", 10),
        ],
    }


if __name__ == "__main__":
    run(measure, __doc__)
