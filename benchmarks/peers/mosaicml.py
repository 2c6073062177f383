"""MosaicML Streaming: MDS shards of 64 MiB, shuffled by py1e."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from making.samples import DIM, Row
from measuring.passes import Batches

from peers import Layout, Task
from peers.batches import images, widened

PACKAGE = "mosaicml-streaming"
SETTINGS = "StreamingDataset on a local folder, shards of 64 MiB, py1e, batch_size given, StreamingDataLoader"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")

_COLUMNS = {
    "images": {"key": "str", "image": "bytes"},
    "vectors": {"key": "str", "vector": f"ndarray:float16:{DIM}", "caption": "str"},
}


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns=_COLUMNS[layout], hashes=["xxh3_64"], exist_ok=True) as writer:
        for row in rows:
            writer.write({name: getattr(row, name) for name in _COLUMNS[layout]})


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    from streaming import StreamingDataLoader, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    dataset = StreamingDataset(
        local=str(folder),
        shuffle=True,
        shuffle_seed=task.seed,
        batch_size=task.batch_size,
        validate_hash="xxh3_64",
    )
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
