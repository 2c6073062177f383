"""What did this step see, and who saw this media: computed from the order, not from logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.errors import LoaderError, PinError
from mmfs.ids import parse_key
from mmfs.loader.order import Order
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.loader.recorder import RUNS
from mmfs.loader.state import State, state_at_step, steps_left
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s
from mmfs.store.pin import OrderParameters, Pin
from mmfs.store.pins import Pins

if TYPE_CHECKING:
    from mmfs.store.store import Store


@dataclass(frozen=True)
class Sighting:
    """A rank saw a sample at a step of a run."""

    key: str
    epoch: int
    step: int
    rank: int


@dataclass(frozen=True)
class _Window:
    """Steps of one epoch: the position and step at which they begin, and how many there are."""

    position: int
    step: int
    steps: int


@dataclass(frozen=True)
class _Segment:
    """One row of ``training_runs``, with the order it speaks of.

    Attributes:
        start: The state at which it began.
        last_step: The step after its last one; None while it runs or when it crashed.
    """

    pin: Pin
    order: Order
    start: State
    world_size: int
    batch_size: int
    drop_last: bool
    is_stream: bool
    last_step: int | None

    @property
    def width(self) -> int:
        return self.world_size * self.batch_size

    def window(self, epoch: int) -> _Window:
        """The part of an epoch that the segment delivers, if it lasts that long."""
        start, count = self.start, self.order.samples
        if self.is_stream:
            # Positions of one epoch after the other, counted on from the segment's beginning.
            position = start.position - (epoch - start.epoch) * count
            return _Window(position, start.step, -(-(count - position) // self.width))
        head = steps_left(start.position, count, self.width, drop_last=self.drop_last)
        if epoch == start.epoch:
            return _Window(start.position, start.step, head)
        whole = steps_left(0, count, self.width, drop_last=self.drop_last)
        return _Window(0, start.step + head + (epoch - start.epoch - 1) * whole, whole)

    def state_at(self, step: int) -> State:
        """The state before a step."""
        return state_at_step(
            self.start, step, self.order.samples, self.width, drop_last=self.drop_last, is_stream=self.is_stream
        )


def keys_at(store: Store, run: str, *, step: int, rank: int = 0) -> list[str]:
    """Keys of the samples that a rank was given at a step (counted from 0), as in ``batch["_key"]``.

    After a restart from an older checkpoint a step was made twice; the later one counts. Samples that turned out bad
    are listed as ordered, whatever filled their places.

    Raises:
        LoaderError: The run is not recorded, has no such step or no such rank.
        PinError: Its pin was removed.
    """
    segments = _segments(store, run)
    fitting = [one for one in segments if one.start.step <= step and (one.last_step is None or step < one.last_step)]
    if not fitting:
        last = max(one.last_step or one.start.step for one in segments)
        raise LoaderError(f"run {run!r} has no step {step}", mend=f"it has steps 0 to {last - 1}")
    segment = fitting[-1]
    state = segment.state_at(step)
    positions = Topology(rank, segment.world_size, segment.batch_size).positions(state.position)
    epochs = state.epoch + positions // segment.order.samples * segment.is_stream
    places = positions % segment.order.samples
    samples = np.empty_like(positions)
    for epoch in np.unique(epochs).tolist():
        samples[epochs == epoch] = segment.order.epoch(epoch).samples_at(places[epochs == epoch])
    return _key_reader(store, segment.pin).keys(samples)


def sightings(store: Store, run: str, key: str) -> list[Sighting]:
    """Every time a run was given a sample, or, for the bare id of a media, any of its samples.

    Repeats that only filled a batch are not listed. The end of a segment that crashed is not known: it counts up to
    the first step of the next, or, if it is the last, to the end of the epoch in which it began.

    Raises:
        LoaderError: The run is not recorded.
        PinError: Its pin was removed.
    """
    media_id, index = parse_key(key)
    found: list[Sighting] = []
    segments = _segments(store, run)
    for number, segment in enumerate(segments):
        reader = _key_reader(store, segment.pin)
        samples = reader.samples_of(media_id, index)
        names = reader.keys(samples) if len(samples) else []
        later = segments[number + 1].start.step if number + 1 < len(segments) else None
        found += _seen(segment, samples, names, later)
    return sorted(found, key=lambda one: (one.step, one.rank))


def trace(store: Store, media_id: str) -> dict[str, list[str]]:
    """Where a media went: names of the ``tables``, ``subsets``, ``pins`` and ``runs`` that hold or saw it.

    Raises:
        StoreError: This is no media id.
    """
    media_id = parse_key(media_id)[0]
    names = [name for name in store.tables.names() if _has_media(store, name)]
    holding = [name for name in names if _count(store, name, media_id)]
    subsets = store.sql(f"SELECT DISTINCT shard FROM subsets WHERE media_id = '{media_id}' ORDER BY shard")
    pins = [name for name in Pins(store).names() if len(_samples_in(store, name, media_id))]
    runs = store.tables.shards(RUNS)
    return {
        "tables": [name for name in holding if name != "subsets"],
        "subsets": subsets.column(0).to_pylist(),
        "pins": pins,
        "runs": [run for run in runs if _run_saw(store, run, media_id)],
    }


def _seen(segment: _Segment, samples: Int64s, names: list[str], later: int | None) -> Iterator[Sighting]:
    """When a segment delivered these samples, epoch by epoch."""
    end = segment.last_step if segment.last_step is not None else later
    if end is None:
        end = segment.start.step + segment.window(segment.start.epoch).steps
    for epoch in range(segment.start.epoch, segment.state_at(end).epoch + 1):
        window = segment.window(epoch)
        for name, position in zip(names, segment.order.epoch(epoch).positions_of(samples).tolist(), strict=True):
            past = position - window.position
            step = window.step + past // segment.width
            if past >= 0 and past // segment.width < window.steps and step < end:
                yield Sighting(name, epoch, step, past % segment.width % segment.world_size)


def _segments(store: Store, run: str) -> list[_Segment]:
    rows = store.tables.read(RUNS, shard=run)
    if rows.num_rows == 0:
        known = ", ".join(store.tables.shards(RUNS)) or "none yet"
        raise LoaderError(f"no run {run!r} is recorded", mend=f"runs here: {known}")
    return [_segment(store, row) for row in rows.sort_by("segment").to_pylist()]


def _segment(store: Store, row: dict[str, object]) -> _Segment:
    pin = Pins(store).get(str(row["pin"]))
    if pin.selection_id != row["selection_id"]:
        raise PinError(
            f"pin {pin.name!r} is not the one that run {row['run_id']!r} read",
            mend="the pin was removed and made anew; its steps can no longer be told",
        )
    parameters = OrderParameters.model_validate_json(str(row["order_parameters"]))
    order = Order(tuple(pin.shard_rows.values()), parameters, int(str(row["seed"])), bool(row["shuffle"]))
    numbers = {name: int(str(row[name])) for name in ("epoch", "first_position", "first_step")}
    start = State(
        pin.selection_id,
        order.id,
        order.seed,
        epoch=numbers["epoch"],
        position=numbers["first_position"],
        step=numbers["first_step"],
    )
    return _Segment(
        pin,
        order,
        start,
        world_size=int(str(row["world_size"])),
        batch_size=int(str(row["batch_size"])),
        drop_last=bool(row["drop_last"]),
        is_stream=bool(row["stream"]),
        last_step=None if row["last_step"] is None else int(str(row["last_step"])),
    )


def _key_reader(store: Store, pin: Pin) -> PinReader:
    """A reader that knows keys alone, so that no column is touched."""
    return PinReader(store.objects, pin.model_copy(update={"columns": (), "sources": {}, "live": {}}), ReadOptions())


def _samples_in(store: Store, pin: str, media_id: str) -> Int64s:
    return _key_reader(store, Pins(store).get(pin)).samples_of(media_id, None)


def _run_saw(store: Store, run: str, media_id: str) -> bool:
    try:
        return bool(sightings(store, run, media_id))
    except PinError:
        return False  # its pin is gone, and with it what the run saw


def _has_media(store: Store, name: str) -> bool:
    return any(column.name == "media_id" for column in store.tables.spec(name).columns)


def _count(store: Store, table: str, media_id: str) -> int:
    found: pa.Table = store.sql(f"SELECT count(*) FROM {table} WHERE media_id = '{media_id}'")
    return int(found.column(0)[0].as_py())
