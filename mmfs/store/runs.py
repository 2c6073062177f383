"""A pin's selection on disk: one row a run of samples, by bucket and shard; absent when every row is a sample."""

from __future__ import annotations

from collections.abc import Iterable
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
        buckets: Run with which each bucket begins, and the number of runs; without buckets, all are one.
    """

    shard: Int64s
    first_row: Int64s
    samples: Int64s
    buckets: Int64s

    def starts_of(self, shard: int, step: int) -> Int64s:
        """Rows at which the samples of one shard begin."""
        mine = self.shard == shard
        runs = zip(self.first_row[mine], self.samples[mine], strict=True)
        found = [first + step * np.arange(samples, dtype=np.int64) for first, samples in runs]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def samples_at(self, rows: Int64s, first_row: Int64s, step: int) -> Int64s:
        """Number of the sample that begins at each row, int64 [n]; -1 where none begins.

        Args:
            rows: Row numbers, those of all shards counted through.
            first_row: Row at which each shard begins in this count.
            step: Rows from one sample of a run to the next.
        """
        begins, ends = self.first_row + first_row[self.shard], np.cumsum(self.samples)
        found = np.full(len(rows), -1, np.int64)
        # Runs of one bucket follow one another; those of another may begin between the samples of one of them.
        for first, last in zip(self.buckets[:-1], self.buckets[1:], strict=True):
            run = first - 1 + np.searchsorted(begins[first:last], rows, side="right")
            place, rest = np.divmod(rows - begins[run], step)
            is_here = (run >= first) & (rest == 0) & (place < self.samples[run])
            found[is_here] = (ends[run] - self.samples[run] + place)[is_here]
        return found


def runs_parquet(runs: Iterable[tuple[str, Runs]]) -> memoryview:
    """Runs with their shards, in sample order, as a Parquet file."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, RUNS_SCHEMA, compression="zstd") as writer:
        for shard, found in runs:
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
    if pin.selection is None:
        sizes = np.fromiter(pin.shard_rows.values(), np.int64, len(pin.shard_rows))
        shard = np.flatnonzero(sizes)
        return SelectedRuns(shard, np.zeros(len(shard), np.int64), sizes[shard], np.array([0, len(shard)]))
    data = objects.get(pin.selection)
    if not pin.selection.endswith(runs_name(data)):
        raise IntegrityError(
            f"{pin.selection} was changed: its content does not have its name",
            where=objects.url,
            mend="restore the file, or pin again under another name",
        )
    rows = pq.ParquetFile(pa.BufferReader(data)).read(columns=["first_row", "samples"])
    samples = as_numpy(rows.column("samples")).astype(np.int64)
    numbers = {name: number for number, name in enumerate(pin.shard_rows)}
    parts = [bucket.shard_rows for bucket in pin.buckets] or [pin.shard_rows]
    sizes = np.array([rows for part in parts for rows in part.values()], np.int64)
    shards = np.array([numbers[name] for part in parts for name in part], np.int64)
    ends = np.cumsum(samples)
    shard = shards[np.searchsorted(np.cumsum(sizes), ends - samples, side="right")]
    before = np.cumsum([0, *(sum(part.values()) for part in parts)])
    buckets = np.searchsorted(ends, before, side="right")
    return SelectedRuns(shard, as_numpy(rows.column("first_row")).astype(np.int64), samples, buckets)
