"""A random 1 % of the samples, by their numbers, to the last byte.

mmfs reads a pin of a saved subset in one batch; Lance takes the same rows; litData reads them one by one. Each in a
process of its own, three ways: the first time in a new process (packages imported before), opened anew, and opened
already. Bytes are what the process asked the system to read (rchar) the first time, over those of the subset's JPEGs.

    python benchmarks/loader_subset.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from making.samples import Samples
from measuring.goals import goal
from measuring.lanes import once
from measuring.options import Options, run
from peers import dataset, installed, write_dataset

_TRIES = 9
#: Opens the data; what it returns reads the subset and gives its JPEGs.
Opening = Callable[[], Callable[[], list[bytes]]]


class Taken(NamedTuple):
    """Seconds: the first time, opened anew, opened already; bytes wanted, and read by the process the first time."""

    first_s: float
    anew_s: float
    opened_s: float
    wanted: int
    read: int


def measure(options: Options) -> dict[str, Any]:
    """Medians of interleaved repeats, and goals."""
    samples = options.samples
    ways: dict[str, Callable[[Samples], Taken]] = {"mmfs": with_mmfs}
    for name, way in (("lance", with_lance), ("litdata", with_litdata)):
        if name in installed([name]):
            once(write_dataset, samples, name, "images")
            ways[name] = way
    found: dict[str, list[Taken]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            found[name].append(once(way, samples))
    sides = {
        name: {
            "first_ms": _median_ms([one.first_s for one in taken]),
            "anew_ms": _median_ms([one.anew_s for one in taken]),
            "opened_ms": _median_ms([one.opened_s for one in taken]),
            "bytes_read_over_wanted": round(statistics.median(one.read / one.wanted for one in taken), 3),
        }
        for name, taken in found.items()
    }
    ratios = {
        way: sides["mmfs"][way] / sides["lance"][way] if "lance" in sides else None
        for way in ("first_ms", "anew_ms", "opened_ms")
    }
    blobs = once(blob_bytes_over_wanted, samples)
    return {
        "samples": len(samples.subset()),
        "sides": sides,
        "blob_bytes_over_wanted": blobs,
        "goals": [
            goal("random 1 %, first time, over Lance's take", ratios["first_ms"], "at most", 0.5),
            goal("random 1 %, opened anew, over Lance's take", ratios["anew_ms"], "at most", 0.5),
            goal("random 1 %, opened already, over Lance's take", ratios["opened_ms"], "at most", 0.5),
            goal("random 1 %, blob bytes over the subset's", blobs, "at most", 1.1),
        ],
    }


def with_mmfs(samples: Samples) -> Taken:
    _import("mmfs.loader", "mmfs.store", "mmfs.store.pins", "deltalake", "pyarrow.parquet")

    def opening() -> Callable[[], list[bytes]]:
        loader = samples.loader("sparse", batch_size=len(samples.subset()), decode=False, shuffle=False)

        def read() -> list[bytes]:
            (batch,) = list(loader)
            found: list[bytes] = batch["frames.image"]
            return found

        return read

    return timed(opening)


def blob_bytes_over_wanted(samples: Samples) -> float:
    """By the loader's own count."""
    loader = samples.loader("sparse", batch_size=len(samples.subset()), decode=False, shuffle=False)
    (batch,) = list(loader)
    return round(loader.stats().bytes_read / sum(map(len, batch["frames.image"])), 3)


def with_lance(samples: Samples) -> Taken:
    _import("lance")
    import lance

    def opening() -> Callable[[], list[bytes]]:
        rows = lance.dataset(str(dataset(samples, "lance", "images") / "samples.lance"))
        numbers = samples.subset().tolist()

        def read() -> list[bytes]:
            jpegs: list[bytes] = rows.take(numbers, columns=["key", "image"]).column("image").to_pylist()
            return jpegs

        return read

    return timed(opening)


def with_litdata(samples: Samples) -> Taken:
    os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"
    _import("litdata")
    from litdata import StreamingDataset

    def opening() -> Callable[[], list[bytes]]:
        rows = StreamingDataset(str(dataset(samples, "litdata", "images")))
        numbers = samples.subset().tolist()
        return lambda: [rows[number]["image"] for number in numbers]

    return timed(opening)


def timed(opening: Opening) -> Taken:
    """The subset read for the first time, then anew and again, several times."""
    before, began = _read_bytes(), time.perf_counter()
    jpegs = opening()()
    first_s = time.perf_counter() - began
    read = _read_bytes() - before
    anew, opened = [], []
    for _ in range(_TRIES):
        began = time.perf_counter()
        again = opening()
        again()
        anew.append(time.perf_counter() - began)
        began = time.perf_counter()
        again()
        opened.append(time.perf_counter() - began)
    return Taken(first_s, statistics.median(anew), statistics.median(opened), sum(map(len, jpegs)), read)


def _import(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)


def _read_bytes() -> int:
    """Bytes that this process has asked the system for; what it maps into memory is not among them."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def _median_ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 2)


if __name__ == "__main__":
    run(measure, __doc__)
