"""Grain over ArrayRecord files of one record a group, shuffled globally.

Its sixteen reading threads, the default, cost more than they give on a local disk: measured, and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from making.samples import DIM, SHARDS
from measuring.passes import Batches

from peers import Layout, Task
from peers.batches import images

if TYPE_CHECKING:
    from making.samples import Row

PACKAGE = "grain"
SETTINGS = "ArrayRecord, group_size:1, uncompressed; shuffle().repeat(), ReadOptions(num_threads=0), mp_prefetch"
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")

_VECTOR = DIM * 2


def write(rows: Iterable[Row], folder: Path, layout: Layout) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    everything = list(rows)
    each = -(-len(everything) // SHARDS)
    for shard in range(SHARDS):
        writer = ArrayRecordWriter(str(folder / f"{shard:06d}.arrayrecord"), "group_size:1,uncompressed")
        for row in everything[shard * each : (shard + 1) * each]:
            value = row.image if layout == "images" else row.vector.tobytes() + row.caption.encode()
            key = row.key.encode()
            writer.write(len(key).to_bytes(2, "little") + key + value)
        writer.close()


def epochs(folder: Path, task: Task) -> Callable[[], Batches]:
    import grain

    _parse_flags()
    paths = sorted(str(path) for path in folder.glob("*.arrayrecord"))
    source = grain.sources.ArrayRecordDataSource(paths)
    # Its workers live as long as an iterator, so that one iterator serves all epochs; each is shuffled anew.
    rows = grain.MapDataset.source(source).seed(task.seed).shuffle().repeat()
    reading = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    batches = rows.to_iter_dataset(reading).batch(task.batch_size, batch_fn=_Batch(task.kind))
    if task.workers:
        batches = batches.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=task.workers))
    endless = iter(batches)

    def epoch() -> Batches:
        delivered = 0
        while delivered < len(source):
            keys, values = _with_tensors(next(endless))
            delivered += len(keys)
            yield keys, values

    return epoch


def _parse_flags() -> None:
    """Grain reads settings from absl's flags, which a program has to parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS(sys.argv[:1])


def _with_tensors(batch: Any) -> Any:
    """Workers hand over arrays, through shared memory of Grain's own; a tensor would need its worker to be alive."""
    import torch

    keys, values = batch
    if isinstance(values, np.ndarray):
        return keys, torch.from_numpy(values).permute(0, 3, 1, 2)
    if isinstance(values, tuple):
        return keys, (torch.from_numpy(values[0]), values[1])
    return keys, values


class _Batch:
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, records: Sequence[bytes]) -> Any:
        ends = [2 + int.from_bytes(record[:2], "little") for record in records]
        keys = [record[2:end].decode() for record, end in zip(records, ends, strict=True)]
        if self._kind != "vectors":
            jpegs = [record[end:] for record, end in zip(records, ends, strict=True)]
            keys, values = images(self._kind)(keys, jpegs)
            return keys, values.permute(0, 2, 3, 1).numpy() if self._kind == "decode" else values
        vectors = np.stack(
            [np.frombuffer(record, np.float16, DIM, end) for record, end in zip(records, ends, strict=True)]
        )
        captions = [record[end + _VECTOR :].decode() for record, end in zip(records, ends, strict=True)]
        return keys, (vectors.astype(np.float32), captions)
