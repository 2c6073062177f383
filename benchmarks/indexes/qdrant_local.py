"""The client's local mode: NumPy over all vectors, meant for prototypes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from making.vectors import Vectors

from indexes import Below, Query

PACKAGE = "qdrant-client"
SETTINGS = ":memory:"


def build(vectors: Vectors, folder: Path) -> Query:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    shape = models.VectorParams(size=vectors.rows.shape[1], distance=models.Distance.COSINE)
    client.create_collection("bench", vectors_config=shape)
    for start in range(0, len(vectors.rows), 2000):
        points = [
            models.PointStruct(
                id=number,
                vector=vectors.rows[number].tolist(),
                payload={"width": int(vectors.width[number]), "height": int(vectors.height[number])},
            )
            for number in range(start, min(start + 2000, len(vectors.rows)))
        ]
        client.upsert("bench", points)

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        chosen = None
        if only is not None:
            chosen = models.Filter(must=[models.FieldCondition(key=only.column, range=models.Range(lt=only.bound))])
        found = client.query_points("bench", query=vector.tolist(), limit=k, query_filter=chosen, with_payload=False)
        return [int(point.id) for point in found.points]

    return query
