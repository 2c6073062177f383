"""A full pass that decodes JPEGs into batches: against two threads of bare simplejpeg, and against its peers.

Bare simplejpeg decodes the same bytes, already in memory, into one buffer, and keeps nothing: the most that this
machine can do with that decoder.

    python benchmarks/loader_decode.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from making.samples import SIDE, Row, Samples
from measuring import ours
from measuring.options import Options, run
from measuring.passes import Batches
from measuring.race import race
from peers import NAMES, Task

_THREADS, _PART = 2, 32


def measure(options: Options) -> dict[str, Any]:
    """Figures of each side, ratios, and goals."""
    figures, ratios = race(
        options,
        lambda workers: Task("decode", workers),
        ours.epochs(options.samples, "image"),
        peers=NAMES,
        others={"bare simplejpeg": partial(bare, options.samples)},
    )
    return {
        "sides": figures,
        "mmfs_over": asdict(ratios),
        "goals": [ratios.goal("decode and collate, over two threads of bare simplejpeg", "bare simplejpeg", 0.85)],
    }


def bare(samples: Samples) -> Callable[[], Batches]:
    """Two threads that decode all and keep nothing; opening reads the bytes into memory."""
    import simplejpeg

    rows = list(samples.rows())
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    own = threading.local()

    def some(part: Sequence[Row]) -> Sequence[str]:
        room = own.__dict__.setdefault("room", np.empty((SIDE, SIDE, 3), np.uint8))
        for row in part:
            simplejpeg.decode_jpeg(row.image, colorspace="RGB", buffer=room)
        return [row.key for row in part]

    def epoch() -> Batches:
        pool = ThreadPoolExecutor(_THREADS)
        try:
            for keys in pool.map(some, parts):
                yield keys, None
        finally:
            pool.shutdown(cancel_futures=True)

    return epoch


if __name__ == "__main__":
    run(measure, __doc__)
