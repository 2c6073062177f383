"""What did this step see, and who saw this media: computed from the order, not from logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mmfs.errors import LoaderError, PinError
from mmfs.ids import parse_key
from mmfs.loader.inverse import MediaFinder
from mmfs.loader.mixture import Mixture, pins_of
from mmfs.loader.mixture_reader import MixtureReader
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.loader.recorder import RUNS
from mmfs.loader.schedule import Schedule
from mmfs.loader.schedules import schedule_of
from mmfs.loader.state import State
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s
from mmfs.store.pin import Pin
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
class _Segment:
    """One row of ``training_runs``, with the schedule it speaks of.

    Attributes:
        source: The pin, or the mixture of pins.
        start: The state at which it began.
        end: The step after its last one. Of a segment that crashed, the first step of the next; None of the last one,
            while it runs or when it crashed.
    """

    source: Pin | Mixture
    schedule: Schedule
    start: State
    world_size: int
    batch_size: int
    drop_last: bool
    is_stream: bool
    end: int | None

    def topology(self, rank: int = 0) -> Topology:
        """One of its ranks."""
        return Topology(rank, self.world_size, self.batch_size)

    def samples_at(self, step: int, rank: int) -> Int64s:
        """Sample numbers that a rank was given at a step, int64 [batch_size]."""
        topology, schedule = self.topology(rank), self.schedule
        state = schedule.state_at(self.start, step, topology, drop_last=self.drop_last, is_stream=self.is_stream)
        if self.is_stream:
            return next(schedule.stream_steps(state, topology)).samples
        return next(schedule.epoch_steps(state, topology, drop_last=self.drop_last)).samples

    @property
    def known_end(self) -> int:
        """`end`, or a step up to which it certainly makes sense to look: about an epoch from the start."""
        if self.end is not None:
            return self.end
        width = self.world_size * self.batch_size
        if self.is_stream:
            samples = self.schedule.samples
            return self.start.step - (-(samples - self.start.position % samples) // width)
        return self.start.step + self.schedule.steps_left(self.start, self.topology(), drop_last=self.drop_last)


def keys_at(store: Store, run: str, *, step: int, rank: int = 0) -> list[str]:
    """Keys of the samples that a rank was given at a step (counted from 0), as in ``batch["_key"]``.

    After a restart from an older checkpoint a step was made twice; the later one counts. The end of a segment that
    crashed is not known: it counts up to the first step of the next; the last one, for ever. Samples that turned out
    bad are listed as ordered, whatever filled their places.

    Raises:
        LoaderError: The run is not recorded, has no such step or no such rank.
        PinError: Its pin was removed.
    """
    segments = _segments(store, run)
    fitting = [one for one in segments if one.start.step <= step and (one.end is None or step < one.end)]
    if not fitting:
        last = max(one.end or one.start.step for one in segments)
        raise LoaderError(f"run {run!r} has no step {step}", mend=f"it has steps 0 to {last - 1}")
    segment = fitting[-1]
    return _key_reader(store, segment.source).keys(segment.samples_at(step, rank))


def sightings(store: Store, run: str, key: str) -> list[Sighting]:
    """Every time a run was given a sample, or, for the bare id of a media, any of its samples.

    Repeats that only filled a batch are not listed. The end of a segment that crashed is not known: it counts up to
    the first step of the next, or, if it is the last, to the end of the epoch in which it began.

    Raises:
        LoaderError: The run is not recorded.
        PinError: Its pin was removed.
    """
    media_id, index = parse_key(key)
    return _sightings(store, run, MediaFinder(store.objects, [media_id]), index)


def trace(store: Store, media_id: str) -> dict[str, list[str]]:
    """Where a media went: names of the ``tables``, ``subsets``, ``pins`` and ``runs`` that hold or saw it.

    Raises:
        StoreError: This is no media id.
    """
    media_id = parse_key(media_id)[0]
    names = [name for name in store.tables.names() if _has_media(store, name)]
    holding = [name for name in names if _count(store, name, media_id)]
    subsets = store.sql(f"SELECT DISTINCT shard FROM subsets WHERE media_id = '{media_id}' ORDER BY shard")
    finder = MediaFinder(store.objects, [media_id])  # one, because pins share files
    pins = [name for name in Pins(store).names() if len(finder.samples(Pins(store).get(name))[0])]
    runs = store.tables.shards(RUNS)
    return {
        "tables": [name for name in holding if name != "subsets"],
        "subsets": subsets.column(0).to_pylist(),
        "pins": pins,
        "runs": [run for run in runs if _run_saw(store, run, finder)],
    }


def _sightings(store: Store, run: str, finder: MediaFinder, index: int | None) -> list[Sighting]:
    found: list[Sighting] = []
    for segment in _segments(store, run):
        samples, names = _samples_in(segment.source, finder, index)
        seen = segment.schedule.sightings(
            segment.start,
            samples,
            segment.topology(),
            drop_last=segment.drop_last,
            is_stream=segment.is_stream,
            first_step=segment.start.step,
            last_step=segment.known_end,
        )
        found += [Sighting(names[number], epoch, step, rank) for number, epoch, step, rank in seen]
    return sorted(found, key=lambda one: (one.step, one.rank))


def _samples_in(source: Pin | Mixture, finder: MediaFinder, index: int | None) -> tuple[Int64s, list[str]]:
    """Numbers of the samples that contain rows of the media, counted through all pins, and their keys."""
    numbers, names, first = [np.zeros(0, np.int64)], [], 0
    for pin in pins_of(source):
        samples, keys = finder.samples(pin, index)
        numbers.append(first + samples)
        names += keys
        first += pin.samples
    return np.concatenate(numbers), names


def _segments(store: Store, run: str) -> list[_Segment]:
    rows = store.tables.read(RUNS, shard=run)
    if rows.num_rows == 0:
        known = ", ".join(store.tables.shards(RUNS)) or "none yet"
        raise LoaderError(f"no run {run!r} is recorded", mend=f"runs here: {known}")
    found = rows.sort_by("segment").to_pylist()
    later = [row["first_step"] for row in found[1:]]
    return [_segment(store, row, next_step) for row, next_step in zip(found, [*later, None], strict=True)]


def _segment(store: Store, row: Mapping[str, Any], next_step: int | None) -> _Segment:
    source = _source(store, row["pin"])
    schedule = schedule_of(source, seed=row["seed"], shuffle=row["shuffle"])
    start = replace(
        schedule.start,
        epoch=row["epoch"],
        position=row["first_position"],
        step=row["first_step"],
        buckets=tuple(json.loads(row["first_buckets"] or "[]")),
    )
    order_id = json.loads(row["order_parameters"]).get("id", start.order_id)
    if (start.selection_id, start.order_id) != (row["selection_id"], order_id):
        raise PinError(
            f"pin {source.name!r} is not the one that run {row['run_id']!r} read",
            mend="the pin was removed and made anew; its steps can no longer be told",
        )
    return _Segment(
        source,
        schedule,
        start,
        world_size=row["world_size"],
        batch_size=row["batch_size"],
        drop_last=row["drop_last"],
        is_stream=row["stream"],
        end=next_step if row["last_step"] is None else row["last_step"],
    )


def _source(store: Store, name: str) -> Pin | Mixture:
    """The pin, or the mixture whose `Mixture.name` this is."""
    if "=" not in name:
        return Pins(store).get(name)
    weights = {pin: int(weight) for pin, _, weight in (part.partition("=") for part in name.split(","))}
    return Mixture.of({pin: Pins(store).get(pin) for pin in weights}, weights)


def _key_reader(store: Store, source: Pin | Mixture) -> MixtureReader:
    """A reader that knows keys alone, so that no column is touched."""
    pins = [pin.model_copy(update={"columns": (), "sources": {}, "live": {}}) for pin in pins_of(source)]
    return MixtureReader([PinReader(store.objects, pin, ReadOptions()) for pin in pins], [pin.samples for pin in pins])


def _run_saw(store: Store, run: str, finder: MediaFinder) -> bool:
    try:
        return bool(_sightings(store, run, finder, None))
    except PinError:
        return False  # its pin is gone, and with it what the run saw


def _has_media(store: Store, name: str) -> bool:
    return any(column.name == "media_id" for column in store.tables.spec(name).columns)


def _count(store: Store, table: str, media_id: str) -> int:
    found: pa.Table = store.sql(f"SELECT count(*) FROM {table} WHERE media_id = '{media_id}'")
    return int(found.column(0)[0].as_py())
