"""Lance (pylance): `LanceDataset.take` of random rows, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring.passes import Batches

from peers import Layout, Task

if TYPE_CHECKING:
    from making.samples import Row

PACKAGE = "pylance"
SETTINGS = "take() of each batch's rows, opened in each worker; DataLoader with spawned workers"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    import lance

    from peers.arrow_columns import SCHEMAS, record_batches

    batches = record_batches(rows, layout)
    lance.write_dataset(batches, str(folder / "samples.lance"), schema=SCHEMAS[layout], mode="overwrite")


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    import lance
    from torch.utils.data import DataLoader

    from peers.batch_sampler import RandomBatches

    dataset = _Rows(str(folder / "samples.lance"), task.kind)
    rows = lance.dataset(dataset.uri).count_rows()
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=RandomBatches(rows, task.batch_size, task.seed),
        num_workers=task.workers,
        persistent_workers=task.workers > 0,
        multiprocessing_context="spawn" if task.workers else None,
    )
    return lambda: iter(loader)


class _Rows:
    """What `SafeLanceDataset` does, without making a dict of every row."""

    def __init__(self, uri: str, kind: str) -> None:
        self.uri = uri
        self._kind = kind
        self._opened: Any = None

    def __getitem__(self, rows: list[int]) -> Any:
        from peers.arrow_columns import batch_of

        if self._opened is None:
            import lance

            self._opened = lance.dataset(self.uri)
        return batch_of(self._opened.take(rows), self._kind)
