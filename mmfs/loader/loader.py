"""The training loader: batches of a pin, in one global order, resumable to the sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfs.errors import LoaderError, PinError
from mmfs.loader.batch import BadSamples, Batch, BatchJob, Making
from mmfs.loader.buffers import BufferPool
from mmfs.loader.cache import open_cache
from mmfs.loader.device import mover, wants_pinned
from mmfs.loader.live import open_live
from mmfs.loader.mixture import Mixture, pins_of
from mmfs.loader.mixture_reader import open_reader
from mmfs.loader.pipeline import Pipeline
from mmfs.loader.reader import Captions, ReadOptions
from mmfs.loader.recipe import Recipe
from mmfs.loader.recorder import RunRecorder
from mmfs.loader.report import log_report
from mmfs.loader.schedules import schedule_of
from mmfs.loader.state import State
from mmfs.loader.stats import LoaderStats, Meter
from mmfs.loader.status import LiveStatus
from mmfs.loader.step import Step
from mmfs.loader.topology import find_topology
from mmfs.store.keys import Ids
from mmfs.store.pin import Pin
from mmfs.store.tombstones import taken_down as all_taken_down

if TYPE_CHECKING:
    from mmfs.loader.dataset import LoaderDataset
    from mmfs.store.store import Store

#: Batches made ahead of the one that training works on.
_AHEAD = 2
#: A read from another machine ends in data or an error after this; waiting for what another process fetches is extra.
_DEADLINE_S = 20.0
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

    With a pin that has shape buckets, the samples of a step are of one bucket on all ranks, pictures and depth maps of
    that bucket's height and width. Each bucket has an order of its own; the last batch of each is padded or dropped.
    Buckets are passed evenly; which comes next depends on what is behind in each and on the global batch, so that a
    restart with a larger or smaller one changes how they alternate, and nothing else.

    A mixture has a `stream` only: no epoch, no length. It adds ``_source``, int64 [B]: the number of each sample's pin,
    in the order in which they were given; that of the repeat where ``_valid`` is False. Every prefix of the stream has
    the pins by their weights, to within 64 samples. Each pin passes its own epochs, in the orders it has alone, but for
    a shuffle inside runs of 64 positions.

    Args:
        store: The store.
        pin: What to read: a pin, or a mixture of pins.
        run: Name under which the run is recorded in ``training_runs`` (by rank 0); None: not recorded.
        batch_size: Samples a rank and step.
        shuffle: False for canonical order.
        seed, epoch: Where to begin; the order is a function of both and the pin's selection.
        rank, world_size: Default: from torch.distributed, then RANK and WORLD_SIZE, then one rank.
        decode: False hands out stored bytes.
        image_size: Short side and centre crop of pictures and depth maps; None: lists of tensors as stored. With
            buckets, theirs count: only the default and None are allowed.
        device: Where tensors go and live columns are computed, e.g. ``"cuda"``; None: tensors stay in host memory,
            and live columns are computed where the setting ``device`` says.
        transforms: A function a column, applied to the batch's value on the loader's threads.
        captions: Which of several captions of a media; ``"all"``: a list of them for each sample.
        drop_last: Leave out the last partial global batch instead of padding it.
        threads: Reading and decoding threads; default: one a core (2 to 8), or 16 for a store on another machine.
        verify: Compare every blob with its CRC-32.
        cache: Folder on a fast local disk that the processes of a node share: table rows are then decoded, and media of
            a store on another machine fetched, once a node; default: the setting ``cache.dir``, or none. It is kept
            below the setting ``cache.quota_gb``.
        small: Fetch all samples into the cache folder before the first batch, in few requests and once a node; for what
            is read for many epochs and fits the quota. Nothing happens where the store is on this machine.
        status: Write one line on stderr now and then, from the first rank: how fast samples come, and how long training
            waits for them.
        bad_samples: What becomes of a sample whose bytes are damaged: ``"repeat"`` fills its place with another one
            that is not valid, and reports it in the log and in `stats`; ``"error"`` ends the iteration. What was taken
            down is always filled.
        taken_down: Sorted ids of media that must not be read, S32; default: what the store says now.

    Raises:
        PinError: ``drop_last`` and an epoch has no full batch.
        LoaderError: Arguments contradict each other, the cache folder cannot be used, or a live column would come out
            other than it was pinned.
        ModelError: The weights of a live column cannot be reached or read.
        MissingExtraError: A package that a live column needs is not installed.
    """

    def __init__(
        self,
        store: Store,
        pin: Pin | Mixture,
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
        small: bool = False,
        status: bool = False,
        bad_samples: BadSamples = "repeat",
        taken_down: Ids | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "store", "pin")}
        self.pin = pin
        self.topology = find_topology(rank, world_size, batch_size)
        self.drop_last = drop_last
        self._schedule = schedule_of(pin, seed=seed, shuffle=shuffle)
        if isinstance(pin, Pin) and drop_last and len(self) == 0:
            raise PinError(
                f"pin {pin.name!r} has {pin.samples} samples, a global batch {self.topology.global_batch}",
                mend="with drop_last nothing would be delivered: make batches smaller, or do without drop_last",
            )
        pins = pins_of(pin)
        if bad_samples not in ("repeat", "error"):
            raise LoaderError(f"bad_samples={bad_samples!r}", mend="choose repeat or error")
        transforms = dict(transforms or {})
        for column in transforms.keys() - set(pin.columns):
            raise LoaderError(f"transforms= names {column!r}", mend="columns here are " + ", ".join(pin.columns))
        options = ReadOptions(decode, image_size, captions, verify, open_cache(cache, store.settings.cache))
        buried = all_taken_down(store) if taken_down is None else taken_down
        if small and options.cache is None and not store.objects.is_local:
            raise LoaderError("small=True, but no cache folder", mend="name one with cache= or MMFS_CACHE__DIR")
        self._downloads = small
        objects = store.objects.with_deadline(_DEADLINE_S)
        self._reader = open_reader(objects, pin, options, buried if len(buried) else None)
        self._meter = Meter()
        to_device = mover(device)
        self._making = Making(
            columns=pin.columns,
            reader=self._reader,
            live=open_live(pins[0], self._reader, store.settings, self._meter, device=device, decode=decode),
            pool=BufferPool(_AHEAD + 4, pinned=wants_pinned(device)),
            meter=self._meter,
            transforms=transforms,
            to_device=to_device,
            bad_samples=bad_samples,
        )
        if threads is not None and threads < 1:
            raise LoaderError(f"threads={threads}", mend="give at least 1, or leave it out")
        self._threads = threads or _default_threads(store.objects.is_local)
        self._state = self._schedule.at_epoch(self._schedule.start, epoch) if epoch else self._schedule.start
        self._active: Pipeline[tuple[State, Batch]] | None = None
        self._recorder: RunRecorder | None = None
        if run:
            order_id = self._schedule.start.order_id
            self._recorder = RunRecorder(store, run, pin, order_id, self.topology, shuffle=shuffle, drop_last=drop_last)
        ranks = {"rank": self.topology.rank, "world_size": self.topology.world_size}
        self._recipe = Recipe(store.url, store.settings, pin, {**arguments, **ranks, "taken_down": buried})
        self._datasets: dict[bool, LoaderDataset] = {}  # of epochs, of the stream
        self._status = LiveStatus() if status and self.topology.rank == 0 else None
        if self.topology.rank == 0 and taken_down is None:  # DataLoader workers are given it
            for one in pins:
                log_report(store, one, buried)

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
        """Where training stands after the last delivered batch: JSON-able, small, the same on every rank.

        Raises:
            LoaderError: DataLoader workers deliver the batches; each then holds the state after it, as ``_state``.
        """
        if any(dataset.start.has_begun for dataset in self._datasets.values()):
            raise LoaderError("DataLoader workers deliver the batches", mend='keep batch["_state"] of the last one')
        return self._state.to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a `state_dict` was taken, on any world size, batch size and number of threads.

        Raises:
            LoaderError: It belongs to another selection or way of ordering.
        """
        self._schedule, resumed = self._schedule.resumed(state)
        self._stand(resumed)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch next; keeps the position when it is the current one."""
        self._stand(self._schedule.at_epoch(self._state, epoch))

    def stats(self) -> LoaderStats:
        """Figures since the loader was made."""
        return self._meter.stats(self._reader.traffic)

    def as_dataset(self, *, stream: bool = False) -> LoaderDataset:
        """A torch ``IterableDataset`` of whole batches, for ``DataLoader(..., batch_size=None)``, also with workers.

        Args:
            stream: Iterate over `stream` instead of an epoch.
        """
        from mmfs.loader.dataset import LoaderDataset

        if stream not in self._datasets:
            self._datasets[stream] = LoaderDataset(self, self._recipe, self._threads, is_stream=stream)
        return self._datasets[stream]

    def share(self, first: int, every: int, *, is_stream: bool = False) -> Iterator[Batch]:
        """Some batches of the rest of the epoch, or of the stream: what one of several DataLoader workers makes.

        Args:
            first: Batches that come before the first one.
            every: Distance from one batch to the next.
        """
        if is_stream:
            steps = self._schedule.stream_steps(self._state, self.topology)
        else:
            steps = self._schedule.epoch_steps(self._state, self.topology, drop_last=self.drop_last)
        return self._deliver(islice(steps, first, None, every), self._state, is_stream=is_stream)

    def after_epoch(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The state at the end of the epoch in which a `state_dict` stands."""
        stands = self._schedule.resumed(state)[1]
        return self._schedule.after_epoch(stands, self.topology, drop_last=self.drop_last).to_dict()

    def close(self) -> None:
        """End the threads of a running iteration. The state stays."""
        if self._active is not None:
            self._active.close()
            self._active = None

    def _deliver(self, steps: Iterator[Step], began: State, *, is_stream: bool) -> Iterator[Batch]:
        self.close()
        if self._downloads:
            self._reader.download(self.topology.rank, self.topology.world_size, self._threads)
            self._downloads = False
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
                if self._status:
                    self._status.show(state, self.stats)
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
            is_followed = self._active not in (None, pipeline)  # by another iteration, which has its own record
            if self._active is pipeline:
                self._active = None
                self._stand(self._state)
            if self._status:
                self._status.end()
            if self._recorder and not is_followed:
                self._recorder.pause(self._state, is_stream=is_stream)

    def _end_epoch(self, began: State) -> None:
        """Go on with the next epoch, also when only some of its batches are made here; count what is left out."""
        self._state = self._schedule.after_epoch(began, self.topology, drop_last=self.drop_last)
        if self.drop_last:
            self._meter.add_dropped(self._schedule.left_out(began, self.topology))

    def _stand(self, state: State) -> None:
        """Go on from here; so do workers that begin an epoch."""
        self._state = state
        for dataset in self._datasets.values():
            dataset.start.set(state.to_dict())


def _default_threads(is_local: bool) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(2, min(8, cores)) if is_local else _REMOTE_THREADS
