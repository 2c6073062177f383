"""LanceDB: its StreamingDataset, which promises an elastic order and exact resume as mmfs does."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring.passes import Batches

from peers import Layout, Task

if TYPE_CHECKING:
    from making.samples import Row

PACKAGE = "lancedb"
SETTINGS = "StreamingDataset, num_splits=2, read_batch_size=1024, io_queue_depth=2, StreamingDataLoader, forkserver"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    import lancedb

    from peers.arrow_columns import SCHEMAS, record_batches

    database = lancedb.connect(str(folder))
    database.create_table("samples", record_batches(rows, layout), schema=SCHEMAS[layout], mode="overwrite")


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    import lancedb
    from lancedb.streaming import StreamingDataLoader, StreamingDataset

    from peers.arrow_columns import SCHEMAS

    # Its workers do not survive a fork, and end with each epoch: without a preloaded server, each imports torch anew.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.utils.data", "lancedb"])
    table = lancedb.connect(str(folder)).open_table("samples")
    number = 0

    def epoch() -> Batches:
        nonlocal number
        dataset = StreamingDataset(
            table,
            num_splits=2,
            shuffle_seed=task.seed,
            epoch=number,
            columns=SCHEMAS[task.layout].names,
            read_batch_size=1024,
            io_queue_depth=2,
            transform=_rows,
        )
        number += 1
        collate = _vectors if task.kind == "vectors" else _Images(task.kind)
        options = {"multiprocessing_context": context} if task.workers else {}
        return iter(
            StreamingDataLoader(
                dataset, batch_size=task.batch_size, num_workers=task.workers, collate_fn=collate, **options
            )
        )

    return epoch


def _rows(found: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(_values(found.column(name)) for name in found.schema.names), strict=True))


def _values(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_pylist()


class _Images:
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, rows: list[tuple[str, bytes]]) -> Any:
        from peers.batches import images

        return images(self._kind)([key for key, _ in rows], [jpeg for _, jpeg in rows])


def _vectors(rows: list[tuple[str, Any, str]]) -> Any:
    import numpy as np

    from peers.batches import widened

    keys, vectors, captions = zip(*rows, strict=True)
    return keys, (widened(np.stack(vectors)), captions)
