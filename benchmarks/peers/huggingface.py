"""Hugging Face datasets: Arrow files, memory-mapped, random rows a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring.passes import Batches

from peers import Layout, Task

if TYPE_CHECKING:
    from making.samples import Row

PACKAGE = "datasets"
SETTINGS = "load_from_disk (memory-mapped Arrow), format arrow, DataLoader with a sampler of whole batches"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    import pyarrow as pa

    from peers.arrow_columns import SCHEMAS, record_batches

    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Dataset

    table = pa.Table.from_batches(record_batches(rows, layout), schema=SCHEMAS[layout])
    Dataset(table).save_to_disk(str(folder / "samples"))


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import load_from_disk
    from torch.utils.data import DataLoader

    from peers.batch_sampler import RandomBatches

    found = load_from_disk(str(folder / "samples")).with_format("arrow")
    loader = DataLoader(
        _Rows(found, task.kind),
        batch_size=None,
        sampler=RandomBatches(len(found), task.batch_size, task.seed),
        num_workers=task.workers,
        persistent_workers=task.workers > 0,
    )
    return lambda: iter(loader)


class _Rows:
    def __init__(self, found: Any, kind: str) -> None:
        self._found = found
        self._kind = kind

    def __getitem__(self, rows: list[int]) -> Any:
        from peers.arrow_columns import batch_of

        return batch_of(self._found[rows], self._kind)
