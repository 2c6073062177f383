"""The training loader: batches of a pin, in one global order, resumable to the sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfs.errors import LoaderError, PinError
from mmfs.loader.batch import Batch, BatchJob, Making
from mmfs.loader.buffers import BufferPool
from mmfs.loader.device import mover, wants_pinned
from mmfs.loader.live import open_live
from mmfs.loader.pipeline import Pipeline
from mmfs.loader.reader import Captions, PinReader, ReadOptions
from mmfs.loader.recorder import RunRecorder
from mmfs.loader.schedule import SelectionSchedule
from mmfs.loader.state import State
from mmfs.loader.stats import LoaderStats, Meter
from mmfs.loader.step import Step
from mmfs.loader.topology import find_topology
from mmfs.store.keys import media_ids
from mmfs.store.pin import Pin

if TYPE_CHECKING:
    from torch.utils.data import IterableDataset

    from mmfs.store.store import Store

#: Batches made ahead of the one that training works on.
_AHEAD = 2
#: Threads for stores on other machines, where reading waits more than it computes.
_REMOTE_THREADS = 16


class Loader:
    """Iterating yields one epoch, from the state to its end; `stream` never ends.

    A batch is a dict: each column of the pin, ``_key`` (list of str) and ``_valid`` (bool [B]). With B samples, and
    windows of T rows:

    - pictures: uint8 [B, 3, H, W] (channels last in memory), windows [B, T, 3, H, W];
    - depth maps: float32 [B, 1, H, W], windows [B, T, 1, H, W];
    - sound: float32 [B, C, T], zeros after its end, with ``<column>:length``, int64 [B]; other arrays likewise: padded
      on their last axis to the longest of the batch;
    - vectors: float32 [B, D], windows [B, T, D] (float16 is widened);
    - numbers: [B] in their stored dtype; texts: a list of str;
    - columns of coarser tables (captions, media) have one value a sample, windows or not;
    - ``live:`` columns: as the stored ones would be, computed on the loader's threads.

    Places where ``_valid`` is False hold repeats: at the end of an epoch, and in place of bad samples. Weight losses by
    it. A pin made with ``missing="null"`` adds a bool ``<column>:present``; missing values are zeros, or empty.

    Args:
        store: The store.
        pin: What to read.
        run: Name under which the run is recorded in ``training_runs`` (by rank 0); None: not recorded.
        batch_size: Samples a rank and step.
        shuffle: False for canonical order.
        seed, epoch: Where to begin; the order is a function of both and the pin's selection.
        rank, world_size: Default: from torch.distributed, then RANK and WORLD_SIZE, then one rank.
        decode: False hands out stored bytes.
        image_size: Short side and centre crop of pictures and depth maps; None: lists of tensors as stored.
        device: Where tensors go and live columns are computed, e.g. ``"cuda"``; None: tensors stay in host memory,
            and live columns are computed where the setting ``device`` says.
        transforms: A function a column, applied to the batch's value on the loader's threads.
        captions: Which of several captions of a media; ``"all"``: a list of them for each sample.
        drop_last: Leave out the last partial global batch instead of padding it.
        threads: Reading and decoding threads; default: one a core (2 to 8), or 16 for a store on another machine.
        verify: Compare every blob with its CRC-32.
        cache: Folder for scratch files; default: the system's temporary folder.

    Raises:
        PinError: ``drop_last`` and an epoch has no full batch.
        LoaderError: Arguments contradict each other, or a live column would come out other than it was pinned.
        ModelError: The weights of a live column cannot be reached or read.
        MissingExtraError: A package that a live column needs is not installed.
    """

    def __init__(
        self,
        store: Store,
        pin: Pin,
        *,
        run: str | None = None,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        decode: bool = True,
        image_size: int | None = 256,
        device: str | None = None,
        transforms: Mapping[str, Callable[[Any], Any]] | None = None,
        captions: Captions = "first",
        drop_last: bool = False,
        threads: int | None = None,
        verify: bool = True,
        cache: str | Path | None = None,
    ) -> None:
        self.pin = pin
        self.topology = find_topology(rank, world_size, batch_size)
        self.drop_last = drop_last
        self._schedule = SelectionSchedule.of(pin, seed=seed, shuffle=shuffle)
        if drop_last and len(self) == 0:
            raise PinError(
                f"pin {pin.name!r} has {pin.samples} samples, a global batch {self.topology.global_batch}",
                mend="with drop_last nothing would be delivered: make batches smaller, or do without drop_last",
            )
        transforms = dict(transforms or {})
        for column in transforms.keys() - set(pin.columns):
            raise LoaderError(f"transforms= names {column!r}", mend="columns here are " + ", ".join(pin.columns))
        options = ReadOptions(decode, image_size, captions, verify, Path(cache) if cache else None)
        buried = media_ids(store.tables.read("tombstones", columns=["media_id"]).column("media_id"))
        self._reader = PinReader(store.objects, pin, options, np.unique(buried) if len(buried) else None)
        self._meter = Meter()
        to_device = mover(device)
        self._making = Making(
            columns=pin.columns,
            reader=self._reader,
            live=open_live(pin, self._reader, store.settings, self._meter, device=device, decode=decode),
            pool=BufferPool(_AHEAD + 4, pinned=wants_pinned(device)),
            meter=self._meter,
            transforms=transforms,
            to_device=to_device,
        )
        self._threads = threads or _default_threads(store.objects.is_local)
        self._state = self._schedule.start.at_epoch(epoch)
        self._active: Pipeline[tuple[State, Batch]] | None = None
        self._recorder = (
            RunRecorder(store, run, pin, self._schedule.order, self.topology, drop_last=drop_last) if run else None
        )

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return self._schedule.steps_left(self._schedule.start, self.topology, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        """Batches from the state to the end of its epoch; the next iteration begins the next epoch."""
        steps = self._schedule.epoch_steps(self._state, self.topology, drop_last=self.drop_last)
        return self._deliver(steps, self._state, is_stream=False)

    def stream(self) -> Iterator[Batch]:
        """Batches from the state on, for ever: they straddle epochs, nothing is padded or dropped."""
        return self._deliver(self._schedule.stream_steps(self._state, self.topology), self._state, is_stream=True)

    def state_dict(self) -> dict[str, Any]:
        """Where training stands after the last delivered batch: JSON-able, small, the same on every rank."""
        return self._state.to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a `state_dict` was taken, on any world size, batch size and number of threads.

        Raises:
            LoaderError: It belongs to another selection or way of ordering.
        """
        self._schedule, self._state = self._schedule.resumed(state)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch next; keeps the position when it is the current one."""
        self._state = self._state.at_epoch(epoch)

    def stats(self) -> LoaderStats:
        """Figures since the loader was made."""
        return self._meter.stats(self._reader.bytes_read)

    def as_dataset(self) -> IterableDataset[Batch]:
        """A torch ``IterableDataset`` of whole batches: use it with ``DataLoader(..., batch_size=None)``."""
        from mmfs.loader.dataset import batches_dataset

        return batches_dataset(self)

    def close(self) -> None:
        """End the threads of a running iteration. The state stays."""
        if self._active is not None:
            self._active.close()
            self._active = None

    def _deliver(self, steps: Iterator[Step], began: State, *, is_stream: bool) -> Iterator[Batch]:
        self.close()
        pipeline = Pipeline((BatchJob(step, self._making) for step in steps), threads=self._threads, ahead=_AHEAD)
        self._active = pipeline
        self._meter.begin()
        if self._recorder:
            self._recorder.begin(began, is_stream=is_stream)
        waited_s = 0.0
        try:
            for state, batch in pipeline:
                self._state = state
                self._meter.add_batch(int(batch["_valid"].sum()), pipeline.waited_s - waited_s)
                waited_s = pipeline.waited_s
                # Nothing here may hold the batch while training works on it, or its buffers could not be used again.
                given = [batch]
                del batch
                yield given.pop()
                if self._active is not pipeline:
                    raise LoaderError(
                        "this iteration was ended by another one, or by close()", mend="use one iteration at a time"
                    )
            if self._active is pipeline:
                self._end_epoch(began)
        finally:
            pipeline.close()
            if self._active is pipeline:
                self._active = None
            if self._recorder:
                self._recorder.pause(self._state, is_stream=is_stream)

    def _end_epoch(self, began: State) -> None:
        """Count what drop_last leaves out; an epoch with no full batch left ends here as well."""
        if not self.drop_last:
            return
        self._meter.add_dropped(self._schedule.left_out(began, self.topology))
        if self._state.epoch == began.epoch:
            self._state = began.at_epoch(began.epoch + 1)


def _default_threads(is_local: bool) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(2, min(8, cores)) if is_local else _REMOTE_THREADS
