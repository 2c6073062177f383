"""Samples as Arrow, for the peers that keep columns: whole batches are read, and become values without Python rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from making.samples import DIM, Row

from peers import Layout
from peers.batches import images, widened

_WRITTEN = 1000

SCHEMAS: dict[Layout, pa.Schema] = {
    "images": pa.schema([("key", pa.string()), ("image", pa.binary())]),
    "vectors": pa.schema([("key", pa.string()), ("vector", pa.list_(pa.float16(), DIM)), ("caption", pa.string())]),
}


def record_batches(rows: Iterable[Row], layout: Layout) -> Iterator[pa.RecordBatch]:
    """The samples in batches of a thousand."""
    schema = SCHEMAS[layout]
    for part in _batched(rows):
        columns: list[pa.Array] = [pa.array([row.key for row in part], pa.string())]
        if layout == "images":
            columns.append(pa.array([row.image for row in part], pa.binary()))
        else:
            numbers = pa.array(np.concatenate([row.vector for row in part]))
            columns.append(pa.FixedSizeListArray.from_arrays(numbers, DIM))
            columns.append(pa.array([row.caption for row in part], pa.string()))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def batch_of(found: pa.Table | pa.RecordBatch, kind: str) -> Any:
    """Keys and values of a batch that was read."""
    keys = found.column("key").to_pylist()
    if kind != "vectors":
        return images(kind)(keys, found.column("image").to_pylist())
    vectors = found.column("vector")
    if isinstance(vectors, pa.ChunkedArray):
        vectors = vectors.combine_chunks()
    numbers = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, DIM)
    return keys, (widened(numbers), found.column("caption").to_pylist())


def _batched(rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
    remaining = iter(rows)
    while part := tuple(itertools.islice(remaining, _WRITTEN)):
        yield part
