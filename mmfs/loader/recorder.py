"""Recording a training run: one row a start or change, enough to compute what every step saw. Never in the way."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.errors import LoaderError, MmfsError
from mmfs.loader.mixture import Mixture, pins_of
from mmfs.loader.report_dagster import DagsterReporter
from mmfs.loader.state import State
from mmfs.loader.topology import Topology
from mmfs.schemas import BASE_TABLES
from mmfs.store.pin import Pin

if TYPE_CHECKING:
    from mmfs.store.store import Store

log = logging.getLogger("mmfs.loader")

RUNS = "training_runs"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Longest wait for the ledger at the end of an iteration; at its beginning there is none.
_WAIT_S = 5.0


class RunRecorder:
    """Writes the segments of one run; only rank 0 does.

    A segment begins with each loader and each epoch, and whenever iteration does not go on where it stopped; where it
    does, the segment has no end again, should the process not live to write one. Rows are written by a thread of their
    own. When the store cannot be written, a warning says so and training goes on. Where the setting
    ``dagster_url`` names a webserver, it is told as well, from another thread.

    Raises:
        LoaderError: The run's name has characters that no shard name may have.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        source: Pin | Mixture,
        order_id: str,
        topology: Topology,
        *,
        shuffle: bool,
        drop_last: bool,
    ) -> None:
        if not _NAME.fullmatch(run):
            raise LoaderError(f"{run!r} is no name for a run", mend="use letters, digits, '.', '_' and '-'")
        self._store = store
        self._run = run
        self._writes = topology.rank == 0
        self._writer: threading.Thread | None = None
        self._left: tuple[State, bool] | None = None  # where the last iteration stopped, and whether it was a stream
        self._segment: dict[str, Any] = {}
        self._source = source
        url = store.settings.dagster_url
        self._dagster = DagsterReporter(url) if url and self._writes else None
        orders = {"id": order_id, "pins": [pin.order.model_dump() for pin in pins_of(source)]}
        self._fixed: dict[str, Any] = {
            "run_id": run,
            "pin": source.name,
            "selection_id": source.selection_id,
            "order_parameters": json.dumps(orders),
            "shuffle": shuffle,
            "world_size": topology.world_size,
            "batch_size": topology.batch_size,
            "drop_last": drop_last,
        }

    def begin(self, state: State, *, is_stream: bool) -> None:
        """An iteration begins at this state."""
        if not self._writes:
            return
        goes_on = self._left == (state, is_stream)
        if not goes_on or state.epoch != self._segment["epoch"]:
            self._segment = {
                **self._fixed,
                "seed": state.seed,
                "epoch": state.epoch,
                "first_position": state.position,
                "first_buckets": json.dumps(state.buckets) if state.buckets else None,
                "first_step": state.step,
                "stream": is_stream,
                "started_at_us": time.time_ns() // 1000,
            }
        self._write(dict(self._segment))
        if not goes_on:
            self._report(state, "began")

    def pause(self, state: State, *, is_stream: bool) -> None:
        """An iteration ended, or was left, at this state."""
        # An iteration that the end of the process cuts short has no end: no thread starts any more, the attempt hangs.
        if not self._writes or sys.is_finalizing():
            return
        self._left = (state, is_stream)
        ending = {
            "ended_at_us": time.time_ns() // 1000,
            "last_position": state.position,
            "last_step": state.step,
        }
        self._write(self._segment | ending)
        self._report(state, "stopped")
        if self._writer is not None:
            self._writer.join(_WAIT_S)

    def _report(self, state: State, event: str) -> None:
        if self._dagster is None:
            return
        said = {name: self._fixed[name] for name in ("run_id", "pin", "selection_id", "world_size", "batch_size")}
        versions = [{name: table.version for name, table in pin.tables.items()} for pin in pins_of(self._source)]
        tables = {"table_versions": versions[0] if len(versions) == 1 else versions}
        at = {"epoch": state.epoch, "step": state.step, "position": state.position}
        self._dagster.report(self._source.id, {"event": event, **said, **tables, "samples": self._source.samples, **at})

    def _write(self, row: dict[str, Any]) -> None:
        before = self._writer

        def write() -> None:
            if before is not None:
                before.join()
            try:
                self._store.tables.update(RUNS, self._run, lambda rows: _with_segment(rows, row))
            except (MmfsError, OSError) as error:
                log.warning("run %s is not recorded: %s", self._run, error)

        self._writer = threading.Thread(target=write, name="mmfs-run-recorder")
        self._writer.start()


def _with_segment(rows: pa.Table, row: dict[str, Any]) -> pa.Table:
    """The rows with this segment: in place of the one that began at the same instant, else as one more."""
    schema = pa.schema([(column.name, column.type) for column in BASE_TABLES[RUNS].columns])
    kept = rows.sort_by("segment").to_pylist()
    own = [number for number, other in enumerate(kept) if other["started_at_us"] == row["started_at_us"]]
    number = own[0] if own else len(kept)
    kept[number : number + 1] = [{**row, "segment": number}]
    return pa.Table.from_pylist(kept, schema=schema)
