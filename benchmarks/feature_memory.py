"""Does the memory of a run grow with its rows?

Runs a cheap model (an average of pixels and a small vector) over shards of generated 256 px JPEG frames, each run in a
process of its own, and prints the peak of its resident memory beside the peak of the same process before the first row:
what is left is what rows cost. Decoding processes and the ring are counted, too.

    python benchmarks/feature_memory.py [--json FILE] [--rows 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from making.stored import write_frames

from mmfs.features.feature import Feature, Vector, feature
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store


@feature(table="cheap_vectors", grain="frame", inputs=["frames.image"])
class CheapVectors(Feature):
    """Means of 512 cells of a frame: a vector as large as CLIP's, at no cost."""

    outputs = {"vector": Vector(512)}

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        import torch

        return {"cells": torch.nn.functional.adaptive_avg_pool2d(batch["frames.image"][:, :2].float(), 16)}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"vector": batch["cells"].flatten(1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        print(json.dumps(run(arguments.store, arguments.rows[0])))
        return
    result = {}
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--store", folder, "--rows", str(rows)]
            result[str(rows)] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def run(folder: Path, rows: int) -> dict[str, float]:
    """One run; memory in MiB."""
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write_frames(store, "000000", 64)
    write_frames(store, "000001", rows)
    cheap = CheapVectors()
    # All is imported and started before the base is taken.
    run_feature(store, cheap, "000000", device="cpu")
    pa.default_memory_pool().release_unused()
    base = _memory_mib()
    peak, ended = base, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, _memory_mib())

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.perf_counter()
    report = run_feature(store, cheap, "000001", device="cpu")
    seconds = time.perf_counter() - began
    ended.set()
    watching.join()
    assert report.computed == rows
    return {"base_mib": round(base), "peak_over_base_mib": round(peak - base), "rows_per_s": round(rows / seconds)}


def _memory_mib() -> float:
    """Proportional share of memory of this process and its children; shared pages count once."""
    pids = [os.getpid(), *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())]
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


if __name__ == "__main__":
    main()
