"""A pin's selection on disk: one row a run of samples, shards in order; absent when every row is a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IntegrityError
from mmfs.ids import digest
from mmfs.store.arrays import as_arrow, as_numpy, repeated_text
from mmfs.store.keys import Int64s
from mmfs.store.objects import Objects
from mmfs.store.pin import RUNS_SCHEMA, Pin
from mmfs.store.selection import Runs


@dataclass(frozen=True)
class SelectedRuns:
    """All runs of a selection, in sample order.

    Attributes:
        shard: Number of the shard (its place in ``pin.shard_rows``), int64 [runs].
        first_row: Row of the shard at which the run's first sample begins, int64 [runs].
        samples: Samples in the run, int64 [runs].
    """

    shard: Int64s
    first_row: Int64s
    samples: Int64s

    def starts_of(self, shard: int, step: int) -> Int64s:
        """Rows at which the samples of one shard begin."""
        mine = self.shard == shard
        runs = zip(self.first_row[mine], self.samples[mine], strict=True)
        found = [first + step * np.arange(samples, dtype=np.int64) for first, samples in runs]
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def runs_parquet(runs: Mapping[str, Runs]) -> memoryview:
    """The runs of each shard as a Parquet file."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, RUNS_SCHEMA, compression="zstd") as writer:
        for shard, found in runs.items():
            columns = [
                repeated_text(shard, len(found.samples)),
                as_arrow(found.first_row),
                as_arrow(found.samples),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=RUNS_SCHEMA))
    return memoryview(sink.getvalue())


def runs_name(data: bytes | memoryview) -> str:
    """The name of a selection's file: by its content, so that damage shows."""
    return f"selection-{digest(bytes(data))[:16]}.parquet"


def selected_runs(objects: Objects, pin: Pin) -> SelectedRuns:
    """The runs of a pin's selection.

    Raises:
        IntegrityError: The selection's file was changed.
    """
    sizes = np.fromiter(pin.shard_rows.values(), np.int64, len(pin.shard_rows))
    if pin.selection is None:
        shard = np.flatnonzero(sizes)
        return SelectedRuns(shard, np.zeros(len(shard), np.int64), sizes[shard])
    data = objects.get(pin.selection)
    if not pin.selection.endswith(runs_name(data)):
        raise IntegrityError(
            f"{pin.selection} was changed: its content does not have its name",
            where=objects.url,
            mend="restore the file, or pin again under another name",
        )
    rows = pq.ParquetFile(pa.BufferReader(data)).read(columns=["first_row", "samples"])
    samples = as_numpy(rows.column("samples")).astype(np.int64)
    shard = np.searchsorted(np.cumsum(sizes), np.cumsum(samples) - samples, side="right")
    return SelectedRuns(shard, as_numpy(rows.column("first_row")).astype(np.int64), samples)
