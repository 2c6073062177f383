"""Recording a training run: one row a start or change, enough to compute what every step saw. Never in the way."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.errors import LoaderError, MmfsError
from mmfs.loader.order import Order
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

    A segment begins with each loader, and whenever iteration does not go on where it stopped. Rows are written by a
    thread of their own. When the store cannot be written, a warning says so and training goes on.

    Raises:
        LoaderError: The run's name has characters that no shard name may have.
    """

    def __init__(self, store: Store, run: str, pin: Pin, order: Order, topology: Topology, *, drop_last: bool) -> None:
        if not _NAME.fullmatch(run):
            raise LoaderError(f"{run!r} is no name for a run", mend="use letters, digits, '.', '_' and '-'")
        self._store = store
        self._run = run
        self._writes = topology.rank == 0
        self._writer: threading.Thread | None = None
        self._left: tuple[State, bool] | None = None  # where the last iteration stopped, and whether it was a stream
        self._segment: dict[str, Any] = {}
        self._fixed: dict[str, Any] = {
            "run_id": run,
            "pin": pin.name,
            "selection_id": pin.selection_id,
            "order_parameters": order.parameters.model_copy(update={"streams": order.streams}).model_dump_json(),
            "shuffle": order.shuffle,
            "world_size": topology.world_size,
            "batch_size": topology.batch_size,
            "drop_last": drop_last,
        }

    def begin(self, state: State, *, is_stream: bool) -> None:
        """An iteration begins at this state."""
        if not self._writes or self._left == (state, is_stream):
            return
        self._segment = {
            **self._fixed,
            "seed": state.seed,
            "epoch": state.epoch,
            "first_position": state.position,
            "first_step": state.step,
            "stream": is_stream,
            "started_at_us": time.time_ns() // 1000,
        }
        self._write(dict(self._segment))

    def pause(self, state: State, *, is_stream: bool) -> None:
        """An iteration ended, or was left, at this state."""
        if not self._writes:
            return
        self._left = (state, is_stream)
        ending = {
            "ended_at_us": time.time_ns() // 1000,
            "last_position": state.position,
            "last_step": state.step,
        }
        self._write(self._segment | ending)
        if self._writer is not None:
            self._writer.join(_WAIT_S)

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
