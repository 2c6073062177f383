"""What does search cost beside the bare engine and others of its kind, and how much does it find?

Clustered random vectors go into a store as the runner would write them, are indexed, and are searched in one process:
through the port (hits with keys), in a whole search (condition, freshness, re-check against Delta, columns of hits), by
the bare engine, and by what else is installed. Every query is asked of each, in an order of chance. Recall is measured
against exact comparison. Most filters keep some of every neighbourhood; the last keeps whole clusters, seldom the one
that is asked for.

    python benchmarks/search_engines.py [--json FILE] [--rows 50000] [--dim 512] [--queries 100] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from indexes import Below, Query, installed, peer
from making.vectors import TABLE, Vectors, key, shard_names, write
from measuring.goals import goal, table

from mmfs.search import Searcher, SearchQuery, build_index
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.manifest import read_manifest
from mmfs.search.plan import plan_where
from mmfs.settings import Settings
from mmfs.store import Store

K = 10
FILTERS = {
    "none": None,
    "50 %": Below("width", 500),
    "10 %": Below("width", 100),
    "1 %": Below("width", 10),
    "10 %, other clusters": Below("height", 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args()
    vectors = Vectors.make(2000, 32, 10) if given.quick else Vectors.make(given.rows, given.dim, given.queries)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        result = measure(vectors, Path(folder)) | {"load_before": round(load, 2)}
    print(json.dumps(result, indent=2))
    print(table(result["goals"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(vectors: Vectors, folder: Path) -> dict[str, Any]:
    """Medians in milliseconds, recall, and the goals."""
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors)
    build_index(store, TABLE, shard_names())
    ways: dict[str, Query] = {"port": through_port(store), "whole search": whole_search(store)}
    versions = installed()
    for name in versions:
        ways[name] = peer(name).build(vectors, folder / name)
    found = {name: compare(ways, vectors, only) for name, only in FILTERS.items()}
    goals = []
    for name, sides in found.items():
        whole, ratio = sides["whole search"], sides["port"]["p50_ms"] / sides["raw_edge"]["p50_ms"]
        goals.append(goal(f"port over the bare engine, filter {name}", ratio, "at most", 1.3))
        goals.append(goal(f"whole search, ms, filter {name}", whole["p50_ms"], "at most", 10))
        goals.append(goal(f"recall@10 of a whole search, filter {name}", whole["recall"], "at least", 0.99))
    settings = {name: f"{versions[name]}: {peer(name).SETTINGS}" for name in versions}
    return {
        "rows": len(vectors.rows),
        "dim": vectors.rows.shape[1],
        "peers": settings,
        "filters": found,
        "goals": goals,
    }


def compare(ways: dict[str, Query], vectors: Vectors, only: Below | None) -> dict[str, dict[str, float]]:
    """Each way's median and recall."""
    allowed = np.ones(len(vectors.rows), bool) if only is None else only.allowed(vectors)
    wanted = vectors.nearest(allowed, K)
    times: dict[str, list[float]] = {name: [] for name in ways}
    recalls: dict[str, list[float]] = {name: [] for name in ways}
    draw = random.Random(0)
    for vector in vectors.asked[:5]:
        for way in ways.values():
            way(vector, K, only)
    for vector, right in zip(vectors.asked, wanted, strict=True):
        for name in draw.sample(list(ways), len(ways)):
            started = time.perf_counter()
            answer = ways[name](vector, K, only)
            times[name].append(1000 * (time.perf_counter() - started))
            recalls[name].append(len(right & set(answer)) / max(1, len(right)))
    return {
        name: {"p50_ms": round(statistics.median(times[name]), 3), "recall": round(statistics.mean(recalls[name]), 4)}
        for name in ways
    }


def through_port(store: Store) -> Query:
    """The engine behind its port, choosing between exact and graph as a search does."""
    engine = EdgeEngine(store.objects)
    [space] = store.objects.folders("index")
    build = engine.published(space).current
    assert build is not None
    manifest = read_manifest(store.objects, space, build)
    index = engine.open(manifest.space, build)
    plans = {only: plan_where(store, manifest, only and only.where(), frozenset()) for only in FILTERS.values()}

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        return [int(hit.media_id, 16) for hit in index.query(vector, k, condition=plans[only].condition)]

    return query


def whole_search(store: Store) -> Query:
    searcher = Searcher(store)
    number_of = {key(number): number for number in range(store.tables.read("frames", columns=["media_id"]).num_rows)}

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        asked = SearchQuery(vector=vector, k=k, where=only and only.where(), space=TABLE)
        return [number_of[name] for name in searcher.search(asked).table.column("key").to_pylist()]

    return query


if __name__ == "__main__":
    main()
