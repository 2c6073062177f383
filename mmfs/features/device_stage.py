"""The device stage: batches go to the device, are prepared and computed there, and come back while the next one runs.

On CUDA, copies take pinned memory and a stream of their own, and the host is at most one batch behind the device. On
the CPU the same calls work on the memory where decoded rows lie.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mmfs.errors import FeatureError
from mmfs.features.attempt import BadRow, ComputedRows, halving, is_out_of_memory
from mmfs.features.batching import Batch, RowBatch, is_tensor, join
from mmfs.features.feature import Feature
from mmfs.features.outputs import checked_outputs


@dataclass
class Launched:
    """A batch on its way: what came out, on the host as soon as ``done`` says so, or why nothing did."""

    rows: RowBatch
    padded_rows: int
    outputs: Any = None
    done: Any = None
    failure: Exception | None = None


@dataclass
class BusyTime:
    """How long the device worked on something."""

    _seconds: float = 0.0
    _events: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The sum so far; waits for the device."""
        for start, end in self._events:
            end.synchronize()
            self._seconds += start.elapsed_time(end) / 1000
        self._events.clear()
        return self._seconds

    @contextmanager
    def measured(self, *, is_cuda: bool) -> Iterator[None]:
        """Count what happens inside."""
        if not is_cuda:
            began = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - began
            return
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        self._events.append((start, end))


class DeviceStage:
    """Runs a loaded feature's steps on its device. Use as a context manager.

    Attributes:
        prepared: Time in `prepare`.
        computed: Time in `compute`.
        batch_size: Rows a batch; halved when the device has too little memory.
        at: The rows at work, for errors.
    """

    def __init__(self, feature: Feature) -> None:
        import torch

        self._feature = feature
        self._device = torch.device(feature.device or "cpu")
        self._is_cuda = self._device.type == "cuda"
        self._current = torch.cuda.device(self._device) if self._is_cuda else nullcontext()
        self._copies = _stream(self._device) if self._is_cuda else None
        self.prepared = BusyTime()
        self.computed = BusyTime()
        self.batch_size = feature.batch_size
        self.at: RowBatch | None = None

    def __enter__(self) -> Self:
        # Streams, events and pinned memory are those of the current device, which need not be the first one.
        self._current.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._current.__exit__(*details)

    def prepare(self, rows: RowBatch) -> tuple[list[RowBatch], list[BadRow]]:
        """Prepare rows of one raw shape; the result shares no memory with them."""

        def step(some: RowBatch) -> RowBatch:
            import torch

            self.at = some
            uploaded = self._upload(some.values)
            with torch.inference_mode(), self.prepared.measured(is_cuda=self._is_cuda):
                values = self._feature.prepare(dict(uploaded))
            return RowBatch(some.positions, _owned(self._checked(values, len(some)), uploaded))

        return halving(step, rows)

    def launch(self, rows: RowBatch, *, pad: bool = True) -> Launched:
        """Begin to compute a batch, filled up to the batch size on CUDA."""
        import torch

        padded = max(len(rows), self.batch_size) if self._is_cuda and pad else len(rows)
        try:
            values = _padded(rows.values, padded - len(rows))
            with torch.inference_mode(), self.computed.measured(is_cuda=self._is_cuda):
                outputs = self._feature.compute(dict(values))
            return Launched(rows, padded, *self._fetch(outputs))
        except Exception as error:
            return Launched(rows, padded, failure=error)

    def collect(self, launched: Launched) -> tuple[list[ComputedRows], list[BadRow]]:
        """Wait for a batch: the rows that came out, in order, and those that cannot be computed.

        Raises:
            FeatureError: The outputs are not what was declared.
        """
        self.at = launched.rows
        if launched.failure is None:
            try:
                return [self._finished(launched)], []
            except Exception as error:
                launched.failure = error
        self._note_memory(launched)

        def step(some: RowBatch) -> ComputedRows:
            self.at = some
            again = self.launch(some, pad=False)
            if again.failure is not None:
                self._note_memory(again)
                raise again.failure
            return self._finished(again)

        return halving(step, launched.rows, launched.failure)

    def _finished(self, launched: Launched) -> ComputedRows:
        if launched.done is not None:
            launched.done.synchronize()
        rows = len(launched.rows)
        columns = checked_outputs(self._feature, launched.outputs, launched.padded_rows)
        return ComputedRows(launched.rows.positions, {name: column[:rows] for name, column in columns.items()})

    def _note_memory(self, launched: Launched) -> None:
        """Make batches smaller from here on, where one had too little memory."""
        if not is_out_of_memory(launched.failure):
            return
        import torch

        self.batch_size = max(1, min(self.batch_size, launched.padded_rows // 2))
        if self._is_cuda:
            torch.cuda.empty_cache()

    def _upload(self, values: Batch) -> Batch:
        if self._copies is None:
            return values
        import torch

        with torch.cuda.stream(self._copies):
            # Pinned memory is kept by torch until the copy is done, so that what it was copied from is free at once.
            uploaded = {
                name: _pinned(value).to(self._device, non_blocking=True) if is_tensor(value) else value
                for name, value in values.items()
            }
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._copies)
        for value in uploaded.values():
            if is_tensor(value):
                value.record_stream(current)
        return uploaded

    def _fetch(self, outputs: Any) -> tuple[Any, Any]:
        """Outputs on the host, and the event after which they are there; None on the CPU, where they are."""
        if not self._is_cuda or not isinstance(outputs, Mapping):
            return outputs, None
        import torch

        fetched = {name: _to_host(value) for name, value in outputs.items()}
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        return fetched, done

    def _checked(self, values: Any, rows: int) -> Batch:
        if not isinstance(values, Mapping) or not values:
            raise FeatureError(
                f"prepare returned {type(values).__name__}",
                where=f"feature {self._feature.spec.table}",
                mend="return a dict of tensors and lists",
            )
        for name, value in values.items():
            if len(value) != rows:
                raise FeatureError(
                    f"prepare returned {len(value)} rows where {rows} went in",
                    where=f"feature {self._feature.spec.table}, {name}",
                    mend="return one row for each",
                )
        return dict(values)


def _stream(device: Any) -> Any:
    import torch

    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _pinned(value: Any) -> Any:
    """A copy in pinned memory, by this thread alone: `Tensor.pin_memory` wakes all cores, which are busy decoding."""
    import torch

    host = torch.empty_like(value, pin_memory=True)
    np.copyto(host.numpy(), value.numpy())
    return host


def _owned(value: Any, inputs: Batch) -> Any:
    """A value that shares no memory with the inputs, whose memory is used again."""
    if isinstance(value, Mapping):
        return {name: _owned(one, inputs) for name, one in value.items()}
    if isinstance(value, list | tuple):
        owned = [_owned(one, inputs) for one in value]
        return owned if isinstance(value, list) else tuple(owned)
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_tensor(value):
        return value.clone() if any(_overlap(value, one) for one in inputs.values() if is_tensor(one)) else value
    return value


def _overlap(one: Any, other: Any) -> bool:
    """Whether two tensors may lie in the same memory, however they came by it."""
    if one.device != other.device:
        return False
    first, second = one.untyped_storage(), other.untyped_storage()
    start, other_start = first.data_ptr(), second.data_ptr()
    return bool(start < other_start + second.nbytes() and other_start < start + first.nbytes())


def _padded(values: Batch, more: int) -> Batch:
    """A batch filled up with repeats of its last row: kernels and graphs are made for one batch size."""
    if more <= 0:
        return values
    last = {name: value[-1:] for name, value in values.items()}
    return join([values, *[last] * more])


def _to_host(value: Any) -> Any:
    if is_tensor(value):
        import torch

        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        return host.copy_(value, non_blocking=True)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_host(one) for one in value]
    return value
