"""How much memory does loading take, over that of a process which has imported torch and mmfs?

The peak of the whole process during two epochs, pages of mapped files included, less what it had before opening the
store; batches are dropped as they come.

    python benchmarks/loader_memory.py [--json FILE] [--quick]
"""

from __future__ import annotations

import importlib
from typing import Any

import torch  # loaded before the lanes fork: part of every training process
from making.samples import Samples
from measuring.goals import goal
from measuring.lanes import once
from measuring.options import Options, run
from measuring.usage import PeakMemory

_MIB = 2**20


def measure(options: Options) -> dict[str, Any]:
    """Peaks in MiB, and goals."""
    raw, decode, vectors = (
        round(once(grown, options.samples, pin, is_decoded) / _MIB, 1)
        for pin, is_decoded in (("image", False), ("image", True), ("vector-caption", True))
    )
    return {
        "grown_mib": {"raw": raw, "decode": decode, "vectors and captions": vectors},
        "goals": [
            goal("peak memory over the base process, raw, MiB", raw, "at most", 150),
            goal("peak memory over the base process, decode, MiB", decode, "at most", 250),
        ],
    }


def grown(samples: Samples, pin: str, decode: bool) -> int:
    """Bytes that two epochs add to the process's peak."""
    torch.set_num_threads(1)
    for module in ("mmfs.loader", "mmfs.store", "mmfs.store.pins", "deltalake", "pyarrow.parquet", "simplejpeg"):
        importlib.import_module(module)
    peak = PeakMemory()
    loader = samples.loader(pin, decode=decode)
    for _ in range(2):
        for batch in loader:
            del batch
    return peak.grown_bytes()


if __name__ == "__main__":
    run(measure, __doc__)
