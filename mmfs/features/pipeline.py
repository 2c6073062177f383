"""The way of rows through the stages: decoded chunks -> prepared -> batches by shape -> computed -> results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from mmfs.features.attempt import BadRow, blame
from mmfs.features.batching import RowBatch, ShapeBuckets
from mmfs.features.device_stage import DeviceStage, Launched
from mmfs.features.reading import Chunk
from mmfs.features.results import ShardResults

#: A run is compared with its model alone when it computed for so long, and for at most so long.
_CALIBRATED_FROM_S = 60.0
_CALIBRATION_S = 5.0


@dataclass
class Gauges:
    """What is measured on the way; see `mmfs.features.report.FeatureReport`."""

    read_s: float = 0.0
    write_s: float = 0.0
    batches: int = 0
    chunks: int = 0
    waiting_chunks: int = 0
    last_full: RowBatch | None = None

    @property
    def queue_depth(self) -> float:
        """Mean number of decoded chunks that were waiting."""
        return self.waiting_chunks / self.chunks if self.chunks else 0.0


class Pipeline:
    """Computes rows, one batch behind what it hands to the device."""

    def __init__(
        self, table: str, stage: DeviceStage, results: ShardResults, gauges: Gauges, done: Callable[[], None]
    ) -> None:
        self._table = table
        self._stage = stage
        self._results = results
        self._gauges = gauges
        self._done = done
        self._buckets = ShapeBuckets(stage.batch_size)

    def run(self, chunks: Iterable[Chunk]) -> None:
        """Compute all rows.

        Raises:
            FeatureError: The feature does not do what it declares, or fails on a whole batch.
        """
        launched: Launched | None = None
        for batch in self._batches(chunks):
            following = self._stage.launch(batch)
            if launched is not None:
                self._collect(launched)
            launched = following
        if launched is not None:
            self._collect(launched)

    def _batches(self, chunks: Iterable[Chunk]) -> Iterator[RowBatch]:
        for chunk in self._timed(chunks):
            self._gauges.chunks += 1
            self._gauges.waiting_chunks += chunk.waiting
            self._results.give_up(chunk.bad)
            prepared: list[RowBatch] = []
            failed: list[BadRow] = []
            for group in chunk.groups:
                good, bad = self._stage.prepare(group)
                prepared += good
                failed += bad
            # Not by group: rows of one shape that cannot be prepared are a matter of their shape.
            blame(self._table, prepared, failed)
            self._results.give_up(failed)
            for rows in _in_order(prepared):
                yield from self._buckets.add(rows)
        yield from self._buckets.rest()

    def _collect(self, launched: Launched) -> None:
        gauges = self._gauges
        good, bad = self._stage.collect(launched)
        blame(self._table, good, bad)
        if len(launched.rows) == self._stage.batch_size:
            gauges.last_full = launched.rows
        gauges.batches += 1
        self._buckets.shrink(self._stage.batch_size)
        writing = time.perf_counter()
        self._results.add(good, bad)
        gauges.write_s += time.perf_counter() - writing
        self._done()

    def _timed(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        source = iter(chunks)
        while True:
            waiting = time.perf_counter()
            chunk = next(source, None)
            self._gauges.read_s += time.perf_counter() - waiting
            if chunk is None:
                return
            yield chunk


def ratio_to_bare(stage: DeviceStage, gauges: Gauges, *, rows: int, working_s: float) -> float | None:
    """Speed of a run over that of ``compute`` alone on its last full batch; None for runs too short to spare it."""
    batch, computed_s = gauges.last_full, stage.computed.seconds
    if batch is None or computed_s < _CALIBRATED_FROM_S:
        return None
    times = 0
    while times == 0 or stage.computed.seconds - computed_s < _CALIBRATION_S:
        stage.collect(stage.launch(batch))
        times += 1
    bare_rows_per_s = times * len(batch) / (stage.computed.seconds - computed_s)
    return rows / working_s / bare_rows_per_s


def _in_order(prepared: list[RowBatch]) -> Iterator[RowBatch]:
    """Groups cut into runs of neighbouring rows, in the order of the rows: how they were grouped leaves no trace."""
    rows = sorted(
        (position, number, row) for number, group in enumerate(prepared) for row, position in enumerate(group.positions)
    )
    for number, run in groupby(rows, key=itemgetter(1)):
        first, *others = [row for _, _, row in run]
        yield prepared[number].cut(first, others[-1] + 1 if others else first + 1)
