"""litData: chunks of 64 MB, shuffled chunk by chunk and within each.

Items are read one by one: its other way, 256 at a time, was slower on these sizes. A full shuffle of each chunk mixes
better (0.66 of the ideal) and is thirty times slower.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from making.samples import Row
from measuring.passes import Batches

from peers import Layout, Task
from peers.batches import images, widened

PACKAGE = "litdata"
SETTINGS = "StreamingDataset on a local folder, chunks of 64 MB, batch_decode=0, StreamingDataLoader"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="64MB")
    for number, row in enumerate(rows):
        if layout == "images":
            writer[number] = {"key": row.key, "image": row.image}
        else:
            writer[number] = {"key": row.key, "vector": row.vector, "caption": row.caption}
    writer.done()
    writer.merge()


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"
    from litdata import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(str(folder), shuffle=True, seed=task.seed, batch_decode=0)
    loader = StreamingDataLoader(
        dataset,
        batch_size=task.batch_size,
        num_workers=task.workers,
        collate_fn=_vectors if task.kind == "vectors" else _Images(task.kind),
        persistent_workers=task.workers > 0,
    )
    return lambda: iter(loader)


class _Images:
    def __init__(self, kind: str) -> None:
        self._batch = images(kind)

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        return self._batch([row["key"] for row in rows], [row["image"] for row in rows])


def _vectors(rows: list[dict[str, Any]]) -> Any:
    vectors = np.stack([row["vector"] for row in rows])
    return [row["key"] for row in rows], (widened(vectors), [row["caption"] for row in rows])
