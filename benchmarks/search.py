"""What does search cost beside the bare engine, and how much does it find?

Clustered random vectors go into a store as the runner would write them, are indexed, and are searched three ways in
one process, interleaved: the bare engine (qdrant-edge on the same vectors, ids only), the port (hits with keys), and a
whole search (condition, freshness, re-check against Delta, columns of the hits). Recall is measured against exact
NumPy. Prints medians and ratios to the bare engine.

    python benchmarks/search.py [--json FILE] [--rows 20000] [--dim 512] [--queries 60]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import qdrant_edge

from mmfs.features.fingerprint import FingerprintParts, recorded_parts
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.search import Searcher, SearchQuery, build_index
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.manifest import read_manifest
from mmfs.search.plan import plan_where
from mmfs.search.points import point_id_bytes
from mmfs.settings import Settings
from mmfs.store import Store

TABLE = "bench_embeddings"
SHARDS = 4
K = 10
FILTERS = {"none": None, "50 %": "width < 500", "1 %": "width < 10"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.rows, arguments.dim, arguments.queries, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(rows: int, dim: int, queries: int, folder: Path) -> dict[str, Any]:
    """Builds, refreshes and searches; medians of interleaved repeats, in milliseconds."""
    vectors, asked = clustered(rows, dim, queries)
    widths = np.random.default_rng(2).permutation(rows) % 1000
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors, widths)
    shards = [f"{number:06d}" for number in range(SHARDS)]

    build_s, report = timed(lambda: build_index(store, TABLE, shards))
    changed = vectors.copy()
    changed[: rows // 100] = vectors[rows // 2 : rows // 2 + rows // 100]
    write(store, changed, widths)
    refresh_s, _ = timed(lambda: build_index(store, TABLE, shards))
    write(store, vectors, widths)
    build_index(store, TABLE, shards)
    bare_s, bare = timed(lambda: bare_engine(store, folder / "bare", vectors, widths))

    space = store.objects.folders("index")[0]
    engine = EdgeEngine(store.objects)
    build_id = engine.published(space).current
    assert build_id is not None
    manifest = read_manifest(store.objects, space, build_id)
    port, searcher = engine.open(manifest.space, build_id), Searcher(store)
    ids = [UUID(bytes=point_id_bytes(store.namespace, key(number))) for number in range(rows)]

    found: dict[str, Any] = {}
    for name, where in FILTERS.items():
        condition = plan_where(store, manifest, where, frozenset()).condition
        limit = None if where is None else float(where.rsplit(" ", 1)[1])
        allowed = np.ones(rows, bool) if limit is None else widths < limit
        ways: dict[str, Callable[[np.ndarray], Sequence[UUID]]] = {
            "bare": lambda vector, limit=limit: bare_query(bare, vector, limit),
            "port": lambda vector, condition=condition: [hit.id for hit in port.query(vector, K, condition=condition)],
            "whole": lambda vector, where=where: searched(searcher, vector, where),
        }
        found[name] = compare(ways, asked, truth(vectors, asked, allowed, ids))
    return {
        "rows": rows,
        "dim": dim,
        "build": {
            "seconds": round(build_s, 2),
            "rows_per_s": round(rows / build_s),
            "ratio_to_bare": round(build_s / bare_s, 2),
            "recall_at_build": report[shards[0]].recall,
        },
        "refresh_of_1_percent": {"seconds": round(refresh_s, 2), "ratio_to_build": round(refresh_s / build_s, 2)},
        "search": found,
    }


def compare(
    ways: dict[str, Callable[[np.ndarray], Sequence[UUID]]], asked: np.ndarray, wanted: list[set[UUID]]
) -> dict[str, Any]:
    """Median milliseconds and recall of each way; every query is asked of each in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    hits: dict[str, list[float]] = {name: [] for name in ways}
    for vector in asked[:5]:
        for way in ways.values():
            way(vector)
    for vector, right in zip(asked, wanted, strict=True):
        for name, way in ways.items():
            seconds, answer = timed(lambda way=way, vector=vector: way(vector))
            times[name].append(seconds * 1000)
            hits[name].append(len(right & set(answer)) / max(1, len(right)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        name: {
            "p50_ms": round(medians[name], 2),
            "ratio_to_bare": round(medians[name] / medians["bare"], 2),
            "recall_at_10": round(statistics.mean(hits[name]), 4),
        }
        for name in ways
    }


def clustered(rows: int, dim: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 [rows, dim] in 200 clusters, and queries near them, [queries, dim]."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(200, dim))
    vectors = centres[draw.integers(0, 200, rows)] + 0.9 * draw.normal(size=(rows, dim))
    asked = vectors[draw.choice(rows, queries, replace=False)] + 0.6 * draw.normal(size=(queries, dim))
    return unit(vectors), unit(asked)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def key(number: int) -> str:
    return f"{number:032x}:0"


def write(store: Store, vectors: np.ndarray, widths: np.ndarray) -> None:
    """Media, frames and embeddings, in `SHARDS` shards."""
    dim = vectors.shape[1]
    spec = feature_table(TABLE, "Random.", "frame", (vector_column("vector", "Random.", VectorType(dim)),))
    store.tables.ensure(spec)
    info = recorded_parts(FingerprintParts("a", "b", "c", "d"))
    for shard, part in enumerate(np.array_split(np.arange(len(vectors)), SHARDS)):
        media = [f"{number:032x}" for number in part]
        keys = {"media_id": media, "frame_index": pa.array([0] * len(part), pa.int64())}
        half = pa.array(vectors[part].astype(np.float16).ravel(), pa.float16())
        tables = {
            "raw_media": {
                "media_id": media,
                "kind": ["image"] * len(part),
                "width": pa.array(widths[part], pa.int64()),
            },
            "frames": {**keys, "time_s": [0.0] * len(part), "fingerprint": ["f"] * len(part)},
            TABLE: {
                **keys,
                "vector": pa.FixedSizeListArray.from_arrays(half, dim),
                "fingerprint": ["r"] * len(part),
            },
        }
        for name, columns in tables.items():
            planned = store.tables.state(name, f"{shard:06d}")
            store.tables.replace(name, f"{shard:06d}", pa.table(columns), planned=planned, info=info)


def bare_engine(store: Store, folder: Path, vectors: np.ndarray, widths: np.ndarray) -> qdrant_edge.EdgeShard:
    """The same vectors in the engine itself, with the one payload column that is filtered by."""
    folder.mkdir()
    config = qdrant_edge.EdgeConfig(
        vectors=qdrant_edge.EdgeVectorParams(
            size=vectors.shape[1],
            distance=qdrant_edge.Distance.Cosine,
            datatype=qdrant_edge.VectorStorageDatatype.Float16,
        ),
        hnsw_config=qdrant_edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000),
        optimizers=qdrant_edge.EdgeOptimizersConfig(default_segment_number=1),
        wal_enabled=False,
    )
    shard = qdrant_edge.EdgeShard.create(str(folder), config)
    for start in range(0, len(vectors), 1000):
        points = [
            qdrant_edge.Point(
                UUID(bytes=point_id_bytes(store.namespace, key(number))),
                vectors[number].tolist(),
                {"width": int(widths[number])},
            )
            for number in range(start, min(start + 1000, len(vectors)))
        ]
        shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.update(qdrant_edge.UpdateOperation.create_field_index("width", qdrant_edge.PayloadSchemaType.Integer))
    shard.optimize()
    shard.flush()
    return shard


def bare_query(shard: qdrant_edge.EdgeShard, vector: np.ndarray, limit: float | None) -> list[UUID]:
    chosen = None
    if limit is not None:
        field = qdrant_edge.FieldCondition("width", range=qdrant_edge.RangeFloat(lt=limit))
        chosen = qdrant_edge.Filter(must=[field])
    request = qdrant_edge.QueryRequest(limit=K, query=qdrant_edge.Query.Nearest(vector.tolist()), filter=chosen)
    return [point.id for point in shard.query(request)]


def searched(searcher: Searcher, vector: np.ndarray, where: str | None) -> list[UUID]:
    hits = searcher.search(SearchQuery(vector=vector, k=K, where=where, space=TABLE, exact=False))
    namespace = searcher._store.namespace
    return [UUID(bytes=point_id_bytes(namespace, name)) for name in hits.table.column("key").to_pylist()]


def truth(vectors: np.ndarray, asked: np.ndarray, allowed: np.ndarray, ids: list[UUID]) -> list[set[UUID]]:
    """The ids of the nearest, by exact comparison."""
    scores = np.where(allowed, asked @ vectors.T, -np.inf)
    best = np.argsort(-scores, axis=1)[:, : min(K, int(allowed.sum()))]
    return [{ids[number] for number in row} for row in best]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
