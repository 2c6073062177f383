"""The bare engine, answering what the port answers: ids with the keys of their samples, as Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from making.vectors import Vectors, media_id

from indexes import Below, Query

PACKAGE = "qdrant-edge-py"
SETTINGS = "float16, m=16, ef_construct=128, one segment, payload indexes on what is filtered; keys in the payload"


def build(vectors: Vectors, folder: Path) -> Query:
    make(vectors, folder).close()
    shard = open_again(folder)  # as mmfs does: what has built an index is another process

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        answer = [(point.id, point.score, point.payload) for point in ask(shard, vector, k, only, with_payload=True)]
        return [int(payload["media_id"], 16) for _, _, payload in answer]

    return query


def make(vectors: Vectors, folder: Path, *, optimized: bool = True) -> Any:
    """The vectors in an engine of their own."""
    import qdrant_edge as qe

    folder.mkdir(parents=True)
    config = qe.EdgeConfig(
        vectors=qe.EdgeVectorParams(
            size=vectors.rows.shape[1], distance=qe.Distance.Cosine, datatype=qe.VectorStorageDatatype.Float16
        ),
        hnsw_config=qe.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000),
        optimizers=qe.EdgeOptimizersConfig(default_segment_number=1),
        wal_enabled=False,
    )
    shard = qe.EdgeShard.create(str(folder), config)
    for start in range(0, len(vectors.rows), 1000):
        points = [
            qe.Point(number, vectors.rows[number].tolist(), _payload(vectors, number))
            for number in range(start, min(start + 1000, len(vectors.rows)))
        ]
        shard.update(qe.UpdateOperation.upsert_points(points))
    if optimized:
        for column in ("width", "height"):
            shard.update(qe.UpdateOperation.create_field_index(column, qe.PayloadSchemaType.Integer))
        shard.optimize()
    shard.flush()
    return shard


def open_again(folder: Path) -> Any:
    """What `make` has made, once more; there is no log, and so no lock."""
    import qdrant_edge as qe

    return qe.EdgeShard.load(str(folder))


def ask(shard: Any, vector: npt.NDArray[np.float32], k: int, only: Below | None, *, with_payload: bool) -> Any:
    import qdrant_edge as qe

    chosen = None
    if only is not None:
        chosen = qe.Filter(must=[qe.FieldCondition(only.column, range=qe.RangeFloat(lt=float(only.bound)))])
    request = qe.QueryRequest(
        limit=k, query=qe.Query.Nearest(vector.tolist()), filter=chosen, with_payload=with_payload
    )
    return shard.query(request)


def _payload(vectors: Vectors, number: int) -> dict[str, object]:
    keys = {"media_id": media_id(number), "index": 0, "shard": "000000"}
    return {**keys, "width": int(vectors.width[number]), "height": int(vectors.height[number])}
