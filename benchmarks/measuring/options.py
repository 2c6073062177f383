"""What every benchmark of the loader takes, and how it says what it found."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from making.samples import Samples, make_samples

from measuring.lanes import once


@dataclass(frozen=True)
class Options:
    """Attributes:
    samples: The data.
    repeats: Interleaved repeats after a warm-up.
    least_s, most_s: A repeat runs whole epochs for at least the one; the last is cut off at the other.
    quick: Small sizes, to see that the script works; figures mean nothing.
    """

    samples: Samples
    repeats: int
    least_s: float
    most_s: float
    quick: bool

    @classmethod
    def sized(cls, *, quick: bool, repeats: int | None = None) -> Options:
        samples = Samples.sized(quick=quick)
        once(make_samples, samples, limit_s=600)
        if quick:
            return cls(samples, repeats or 1, 0.0, 10.0, quick)
        return cls(samples, repeats or 3, 1.0, 4.0, quick)


def run(measure: Callable[[Options], Mapping[str, Any]], description: str | None) -> None:
    """The command line of one benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--repeats", type=int)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    found = dict(measure(Options.sized(quick=arguments.quick, repeats=arguments.repeats)))
    found["load_before"] = round(load, 2)
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
