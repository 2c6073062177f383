"""Eight ranks of one node read a store on S3: how many bytes leave the server, over those of the samples delivered?

The server is moto on this machine; it counts the bodies of what it is asked for. Each rank is a process, all run at
once, one epoch, shuffled, stored JPEGs; without and with a cache folder that they share, and with it once more.

    python benchmarks/loader_ranks.py [--json FILE] [--quick]
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from making.samples import Samples, make_samples
from measuring.bucket import Bucket, counting_bucket
from measuring.goals import goal
from measuring.lanes import Lane, once
from measuring.options import Options, run

_RANKS, _QUICK_RANKS = 8, 2


def measure(options: Options) -> dict[str, Any]:
    """Bytes over those of the samples, and goals."""
    samples = options.samples if options.quick else Samples.few()
    ranks = _QUICK_RANKS if options.quick else _RANKS
    once(make_samples, samples)
    with counting_bucket(samples.folder / "store") as bucket, TemporaryDirectory() as cache:
        found = {
            "without a cache": epoch(bucket, ranks, None),
            "a shared cache": epoch(bucket, ranks, Path(cache)),
            "a shared cache, filled": epoch(bucket, ranks, Path(cache)),
        }
    return {
        "samples": samples.count,
        "ranks": ranks,
        "epochs": found,
        "goals": [
            goal(
                f"{ranks} ranks on S3, {name}: bytes fetched over used",
                one["fetched_over_used"],
                "at most",
                1.05,
            )
            for name, one in found.items()
        ],
    }


def epoch(bucket: Bucket, ranks: int, cache: Path | None) -> dict[str, Any]:
    """One epoch of all ranks."""
    bucket.counted()
    lanes = [Lane(partial(_rank, bucket, rank, ranks, cache), limit_s=300) for rank in range(ranks)]
    try:
        began = time.perf_counter()
        with ThreadPoolExecutor(ranks) as pool:
            used = sum(pool.map(Lane.call, lanes))
        seconds = time.perf_counter() - began
    finally:
        for one in lanes:
            one.close()
    counted = bucket.counted()
    fetched = sum(size for kind, size in counted.items() if kind.endswith("bytes"))
    return {"fetched_over_used": round(fetched / used, 3), "seconds": round(seconds, 1), "used_bytes": used, **counted}


def _rank(bucket: Bucket, rank: int, ranks: int, cache: Path | None) -> Any:
    bucket.use()

    def one_epoch() -> int:
        from mmfs.loader import Loader
        from mmfs.settings import Settings
        from mmfs.store import Store
        from mmfs.store.pins import Pins

        store = Store.open(bucket.url, settings=Settings())
        pin = Pins(store).get("image")
        loader = Loader(store, pin, batch_size=64, rank=rank, world_size=ranks, decode=False, cache=cache)
        used = 0
        for batch in loader:
            valid = int(batch["_valid"].sum())
            used += sum(map(len, batch["frames.image"][:valid]))
        return used

    return one_epoch


if __name__ == "__main__":
    run(measure, __doc__)
