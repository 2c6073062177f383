"""Vectors in clusters, the same in a store and for others: what search is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.features.fingerprint import FingerprintParts, recorded_parts
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.store import Store

TABLE = "bench_embeddings"
SHARDS = 4
CLUSTERS = 200
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Vectors:
    """Unit vectors with two columns to filter by, and queries.

    Attributes:
        rows: float32 [N, D], in clusters.
        width: int [N] below 1,000, at random: a filter on it keeps some of every neighbourhood.
        height: int [N], the cluster: a filter on it keeps whole neighbourhoods, seldom that of the query.
        asked: float32 [Q, D], each near some row.
    """

    rows: Matrix
    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    asked: Matrix

    @classmethod
    def make(cls, rows: int, dim: int, queries: int) -> Vectors:
        """Always the same for the same sizes."""
        draw = np.random.default_rng(0)
        centres = draw.normal(size=(CLUSTERS, dim))
        cluster = draw.integers(0, CLUSTERS, rows)
        vectors = centres[cluster] + 0.9 * draw.normal(size=(rows, dim))
        asked = vectors[draw.choice(rows, queries, replace=False)] + 0.6 * draw.normal(size=(queries, dim))
        return cls(_unit(vectors), draw.permutation(rows) % 1000, cluster, _unit(asked))

    def with_rows(self, rows: Matrix) -> Vectors:
        """Other vectors under the same keys."""
        return Vectors(rows, self.width, self.height, self.asked)

    def nearest(self, allowed: npt.NDArray[np.bool_], k: int) -> list[set[int]]:
        """Numbers of the ``k`` nearest allowed rows of each query, by exact comparison."""
        scores = np.where(allowed, self.asked @ self.rows.T, -np.inf)
        best = np.argpartition(-scores, min(k, int(allowed.sum())) - 1, axis=1)[:, : min(k, int(allowed.sum()))]
        return [set(row.tolist()) for row in best]


def media_id(number: int) -> str:
    return f"{number:032x}"


def key(number: int) -> str:
    return f"{media_id(number)}:0"


def shard_names() -> list[str]:
    return [f"{number:06d}" for number in range(SHARDS)]


def write(store: Store, vectors: Vectors) -> None:
    """Media, frames and embeddings, as the runner would write them."""
    dim = vectors.rows.shape[1]
    spec = feature_table(TABLE, "Random.", "frame", (vector_column("vector", "Random.", VectorType(dim)),))
    store.tables.ensure(spec)
    info = recorded_parts(FingerprintParts("a", "b", "c", "d"))
    for shard, part in zip(shard_names(), np.array_split(np.arange(len(vectors.rows)), SHARDS), strict=True):
        for name, columns in _tables(vectors, part, dim).items():
            store.tables.replace(name, shard, pa.table(columns), planned=store.tables.state(name, shard), info=info)


def _tables(vectors: Vectors, part: Sequence[int], dim: int) -> dict[str, dict[str, object]]:
    media = [media_id(number) for number in part]
    keys = {"media_id": media, "frame_index": pa.array([0] * len(part), pa.int64())}
    half = pa.array(vectors.rows[part].astype(np.float16).ravel(), pa.float16())
    return {
        "raw_media": {
            "media_id": media,
            "kind": ["image"] * len(part),
            "width": pa.array(vectors.width[part], pa.int64()),
            "height": pa.array(vectors.height[part], pa.int64()),
        },
        "frames": {**keys, "time_s": [0.0] * len(part), "fingerprint": ["f"] * len(part)},
        TABLE: {**keys, "vector": pa.FixedSizeListArray.from_arrays(half, dim), "fingerprint": ["r"] * len(part)},
    }


def _unit(vectors: npt.NDArray[np.float64]) -> Matrix:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
