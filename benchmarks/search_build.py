"""What does an index cost to build, and to bring up to date after 1 % of the rows changed?

The bare engine builds the same vectors in the same run. ``durable add`` is everything from reading Delta to points that
survive a power cut, without the graph; the bare engine's is its upsert and flush.

    python benchmarks/search_build.py [--json FILE] [--rows 50000] [--dim 512] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from indexes.raw_edge import make
from making.vectors import TABLE, Vectors, shard_names, write
from measuring.goals import goal, table

from mmfs.search import build_index
from mmfs.search.edge import EdgeWriter
from mmfs.search.edge_process import sync_tree
from mmfs.search.manifest import read_manifest
from mmfs.search.spaces import read_points, shard_source
from mmfs.settings import Settings
from mmfs.store import Store

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    vectors = Vectors.make(2000, 32, 1) if given.quick else Vectors.make(given.rows, given.dim, 1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        result = measure(vectors, Path(folder)) | {"load_before": round(load, 2)}
    print(json.dumps(result, indent=2))
    print(table(result["goals"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(vectors: Vectors, folder: Path) -> dict[str, Any]:
    """Seconds, and their ratios."""
    count = len(vectors.rows)
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors)
    build_s, report = timed(lambda: build_index(store, TABLE, shard_names()))
    disk = {name: round(size / count) for name, size in on_disk(folder / "store" / "index").items()}
    bare_s, _ = timed(lambda: make(vectors, folder / "bare"))
    add_s, _ = timed(lambda: durable_add(store, folder / "add"))
    bare_add_s, _ = timed(lambda: sync_after(lambda: make(vectors, folder / "bare-add", optimized=False), folder))
    refresh = {}
    for name, chosen in changes(count).items():
        changed = vectors.rows.copy()
        changed[chosen] = vectors.rows[(chosen + count // 2) % count]
        write(store, vectors.with_rows(changed))
        seconds, reports = timed(lambda: build_index(store, TABLE, shard_names()))
        assert sum(one.computed for one in reports.values()) == len(chosen)
        refresh[name] = seconds
        write(store, vectors)
        build_index(store, TABLE, shard_names())
    nothing_s, _ = timed(lambda: build_index(store, TABLE, shard_names()))
    return {
        "rows": count,
        "dim": vectors.rows.shape[1],
        "seconds": {
            "build": build_s,
            "bare build": bare_s,
            "add": add_s,
            "bare add": bare_add_s,
            "no change": nothing_s,
        }
        | {f"refresh, {name}": seconds for name, seconds in refresh.items()},
        "rows_per_s": {"durable add": round(count / add_s), "bare": round(count / bare_add_s)},
        "bytes_a_row_on_disk": disk,
        "recall_at_build": report[shard_names()[0]].recall,
        "goals": [
            *(
                goal(f"refresh after 1 % of the rows, {name}, over a build", seconds / build_s, "at most", 0.05)
                for name, seconds in refresh.items()
            ),
            goal("vectors a second, durable, from Delta", count / add_s, "at least", 15_000),
            goal("build over the bare engine", build_s / bare_s, "at most", 1.5),
        ],
    }


def changes(count: int) -> dict[str, np.ndarray]:
    """Rows that change: together, as when a shard is computed again, or here and there."""
    each = count // 100
    return {"in one shard": np.arange(each), "in all shards": np.arange(each) * (count // each)}


def durable_add(store: Store, folder: Path) -> None:
    """All rows from Delta to the engine's files, durable, with neither graph nor payload indexes."""
    [name] = store.objects.folders("index")
    build = json.loads(store.objects.get(f"index/{name}/current.json"))["current"]
    space = read_manifest(store.objects, name, build).space
    writer = EdgeWriter(folder, space, fresh=True)
    for shard in shard_names():
        writer.upsert(read_points(store, space, shard_source(store, space, shard)).batch)
    writer.flush()
    sync_tree(folder)


def on_disk(index: Path) -> dict[str, int]:
    """Bytes of the only build there is, holes left out: all of it, and its largest parts."""
    used: dict[str, int] = {"all": 0}
    for path in index.rglob("*"):
        if path.is_file() and "edge" in path.parts:
            size = path.stat().st_blocks * 512
            part = path.parts[path.parts.index("segments") + 2] if "segments" in path.parts else "other"
            used["all"] += size
            used[part] = used.get(part, 0) + size
    return dict(sorted(used.items(), key=lambda pair: -pair[1])[:5])


def sync_after(build: Callable[[], Any], folder: Path) -> None:
    build()
    sync_tree(folder / "bare-add")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = call()
    return round(time.perf_counter() - started, 3), result


if __name__ == "__main__":
    main()
