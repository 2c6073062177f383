"""WebDataset: eight tars, shuffled as a list and through a buffer of 1,000 samples."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from making.samples import SHARDS, Row
from measuring.passes import Batches

from peers import Layout, Task
from peers.batches import images

PACKAGE = "webdataset"
SETTINGS = "8 tars, shardshuffle, shuffle(1000), batches made in the workers, WebLoader"
LAYOUTS: tuple[Layout, ...] = ("images",)


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    everything = list(rows)
    each = -(-len(everything) // SHARDS)
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in everything[shard * each : (shard + 1) * each]:
                member = tarfile.TarInfo(f"{row.key.replace(':', '_')}.jpg")
                member.size = len(row.image)
                tar.addfile(member, io.BytesIO(row.image))


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    import webdataset

    shards = sorted(str(path) for path in folder.glob("*.tar"))
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=task.seed).shuffle(1000)
    dataset = dataset.to_tuple("__key__", "jpg").batched(task.batch_size, collation_fn=_Images(task.kind), partial=True)
    loader = webdataset.WebLoader(
        dataset, batch_size=None, num_workers=task.workers, persistent_workers=task.workers > 0
    )
    return lambda: iter(loader)


class _Images:
    def __init__(self, kind: str) -> None:
        self._batch = images(kind)

    def __call__(self, rows: list[tuple[str, bytes]]) -> Any:
        return self._batch([key.replace("_", ":") for key, _ in rows], [jpeg for _, jpeg in rows])
