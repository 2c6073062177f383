"""Everything that is claimed of the loader, in one table of goals: runs the other `loader_*` benchmarks.

python benchmarks/loader.py [--json FILE] [--quick] [--only raw,decode]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from measuring.goals import table
from measuring.lanes import LaneError
from measuring.options import Options
from peers import installed, peer

CLAIMS = ("raw", "decode", "vectors", "subset", "windows", "tables", "start", "ranks", "memory", "mixing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all results here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--only", default=",".join(CLAIMS), help="some of " + ",".join(CLAIMS))
    arguments = parser.parse_args()
    options = Options.sized(quick=arguments.quick, repeats=arguments.repeats)
    found: dict[str, Any] = {
        "peers": {name: f"{version}: {peer(name).SETTINGS}" for name, version in installed().items()},
        "claims": {},
    }
    for claim in arguments.only.split(","):
        began, load = time.perf_counter(), os.getloadavg()[0]
        try:
            measured = importlib.import_module(f"loader_{claim}").measure(options)
        except LaneError as error:
            measured = {"failed": str(error), "goals": []}
            print(f"{claim} failed: {error}", file=sys.stderr)
        found["claims"][claim] = measured | {"load_before": round(load, 2)}
        print(f"{claim}: {time.perf_counter() - began:.0f} s, load before it {load:.1f}", file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(report(found))
    sys.exit(any("failed" in measured for measured in found["claims"].values()))


def report(found: dict[str, Any]) -> str:
    """Rates of each side, then the goals."""
    lines = []
    for claim, measured in found["claims"].items():
        for name, side in measured.get("sides", {}).items():
            lines.append(f"{claim:8} {name:24} " + "  ".join(f"{key} {value}" for key, value in side.items()))
    goals = [row for measured in found["claims"].values() for row in measured["goals"]]
    return "\n".join([*lines, "", table(goals)])


if __name__ == "__main__":
    main()
