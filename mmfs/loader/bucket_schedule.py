"""The steps of a pin with shape buckets: each step's samples, on all ranks, are of one bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from mmfs.errors import LoaderError, PinError
from mmfs.ids import digest
from mmfs.loader.bucket_turns import Turns
from mmfs.loader.columns import Size
from mmfs.loader.order import Order
from mmfs.loader.permutation import key_of
from mmfs.loader.schedule import Schedule
from mmfs.loader.state import State, steps_left
from mmfs.loader.step import Step
from mmfs.loader.steps import epoch_steps, stream_steps
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s
from mmfs.store.pin import OrderParameters, Pin

_BUCKETS = 5  # separates the seeds of buckets from other uses of the seed
_MOST_POSITIONS = 2**62


class BucketSchedule(Schedule):
    """Samples bucket by bucket, each bucket in an order of its own.

    The state holds a position in each bucket. The order inside a bucket never changes; which bucket comes next follows
    from these positions and the size of a global batch (`Turns`), so it is the same on all ranks, and another one after
    a restart with a larger or smaller global batch.

    Args:
        shard_rows: Samples of each bucket in each shard that has any.
        sizes: Height and width of each bucket.
        parameters: Of each bucket's order.
        selection_id: Of the pin.
        seed, shuffle: As for `Order`.

    Raises:
        PinError: There is no sample.
    """

    def __init__(
        self,
        shard_rows: Sequence[tuple[int, ...]],
        sizes: Sequence[Size],
        parameters: Sequence[OrderParameters],
        selection_id: str,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self._shard_rows = tuple(shard_rows)
        self._sizes = tuple(sizes)
        self._parameters = tuple(parameters)
        self._shuffle = shuffle
        self._counts = tuple(sum(rows) for rows in shard_rows)
        self._first = [0, *np.cumsum(self._counts).tolist()]
        self.samples = self._first[-1]
        if self.samples == 0:
            raise PinError("the selection holds no sample", mend="loosen its condition, or pin other media")
        self._orders = {
            bucket: Order(shard_rows[bucket], parameters[bucket], key_of(seed, _BUCKETS, bucket), shuffle)
            for bucket, count in enumerate(self._counts)
            if count
        }
        order_id = digest("buckets/1", *(f"{bucket}/{order.id}" for bucket, order in self._orders.items()))[:16]
        self.start = State(selection_id, order_id, seed, buckets=(0,) * len(self._sizes))

    @classmethod
    def of(cls, pin: Pin, *, seed: int, shuffle: bool) -> Self:
        """The schedule of a pin that has buckets.

        Raises:
            PinError: It holds no sample.
        """
        return cls(
            [tuple(bucket.shard_rows.values()) for bucket in pin.buckets],
            [(bucket.height, bucket.width) for bucket in pin.buckets],
            [pin.order.model_copy(update={"streams": bucket.streams}) for bucket in pin.buckets],
            pin.selection_id,
            seed=seed,
            shuffle=shuffle,
        )

    def epoch_steps(self, state: State, topology: Topology, *, drop_last: bool) -> Iterator[Step]:
        width = topology.global_batch
        end = self.after_epoch(state, topology, drop_last=drop_last)
        inside = {
            bucket: epoch_steps(order, self._at(state, state.epoch, position), topology, drop_last=drop_last)
            for bucket, order, position in self._in(state)
        }
        for bucket in self._epoch_turns(state, width, drop_last=drop_last):
            positions = list(state.buckets)
            # A padded last batch ends its bucket; what it repeats is not of the next epoch.
            positions[bucket] = min(positions[bucket] + width, self._counts[bucket])
            state = state.at_buckets(state.epoch, positions, state.step + 1)
            yield self._step(bucket, next(inside[bucket]), end if state.step == end.step else state)

    def stream_steps(self, state: State, topology: Topology) -> Iterator[Step]:
        width = topology.global_batch
        inside = {
            bucket: stream_steps(
                order,
                self._at(state, state.epoch + position // order.samples, position % order.samples),
                topology,
            )
            for bucket, order, position in self._in(state)
        }
        for bucket in self._stream_turns(state, width):
            positions = list(state.buckets)
            positions[bucket] += width
            state = self._settled(state, positions, state.step + 1)
            yield self._step(bucket, next(inside[bucket]), state)

    def steps_left(self, state: State, topology: Topology, *, drop_last: bool) -> int:
        return sum(self._owed(state, topology.global_batch, drop_last=drop_last))

    def left_out(self, state: State, topology: Topology) -> int:
        left = (max(0, count - position) for count, position in zip(self._counts, state.buckets, strict=True))
        return sum(samples % topology.global_batch for samples in left)

    def after_epoch(self, state: State, topology: Topology, *, drop_last: bool) -> State:
        """The state at the end of the epoch: the next one begins, where a stream is ahead, with what is left of it."""
        ahead = [max(0, at - count) for at, count in zip(state.buckets, self._counts, strict=True)]
        steps = self.steps_left(state, topology, drop_last=drop_last)
        return state.at_buckets(state.epoch + 1, ahead, state.step + steps)

    def resumed(self, saved: Mapping[str, Any]) -> tuple[Self, State]:
        state = self.start.resumed(saved, _MOST_POSITIONS)
        is_empty = any(at and not count for at, count in zip(state.buckets, self._counts, strict=True))
        if min(state.buckets) < 0 or is_empty or self._settled(state, state.buckets, state.step) != state:
            raise LoaderError(
                f"the state stands at positions {', '.join(map(str, state.buckets))} of its buckets",
                where=f"buckets of {', '.join(map(str, self._counts))} samples",
                mend="pass what state_dict() returned, as it was",
            )
        found = type(self)(
            self._shard_rows,
            self._sizes,
            self._parameters,
            state.selection_id,
            seed=state.seed,
            shuffle=self._shuffle,
        )
        return found, state

    def state_at(self, start: State, step: int, topology: Topology, *, drop_last: bool, is_stream: bool) -> State:
        """The state before a step, when iteration began at ``start`` and went on, epoch after epoch."""
        width = topology.global_batch
        if is_stream:
            given = self._stream_turns(start, width).given(step - start.step)
            positions = [at + width * batches for at, batches in zip(start.buckets, given, strict=True)]
            return self._settled(start, positions, step)
        start = self._begin_of(start, step, topology, drop_last=drop_last)
        given = self._epoch_turns(start, width, drop_last=drop_last).given(step - start.step)
        reached = zip(start.buckets, given, self._counts, strict=True)
        positions = [min(at + width * batches, max(at, count)) for at, batches, count in reached]
        return start.at_buckets(start.epoch, positions, step)

    def sightings(
        self,
        start: State,
        samples: Int64s,
        topology: Topology,
        *,
        drop_last: bool,
        is_stream: bool,
        first_step: int,
        last_step: int,
    ) -> Iterator[tuple[int, int, int, int]]:
        """When samples are delivered by the steps [first_step, last_step) of an iteration that began at ``start``.

        Repeats that fill an epoch's last batches are left out.

        Yields:
            Index into ``samples``, epoch of its bucket, step, rank.
        """
        width = topology.global_batch
        if is_stream:
            turns = self._stream_turns(start, width)
            yield from self._seen(start, turns, samples, topology, first_step, last_step, is_endless=True)
            return
        start = self._begin_of(start, first_step, topology, drop_last=drop_last)
        while start.step < last_step:
            turns = self._epoch_turns(start, width, drop_last=drop_last)
            yield from self._seen(start, turns, samples, topology, first_step, last_step, is_endless=False)
            start = self.after_epoch(start, topology, drop_last=drop_last)

    def _seen(
        self,
        start: State,
        turns: Turns,
        samples: Int64s,
        topology: Topology,
        first_step: int,
        last_step: int,
        *,
        is_endless: bool,
    ) -> Iterator[tuple[int, int, int, int]]:
        """What of `sightings` belongs to one epoch, or, of a stream, to all."""
        width = topology.global_batch
        before, given = turns.given(max(0, first_step - start.step)), turns.given(last_step - start.step)
        buckets = np.searchsorted(self._first, samples, side="right") - 1
        for bucket in np.unique(buckets).tolist():
            order, mine = self._orders[bucket], np.flatnonzero(buckets == bucket)
            begin, count = start.buckets[bucket], order.samples
            first, last = begin + width * before[bucket], begin + width * given[bucket]
            for epoch in range(first // count, -(-last // count)) if is_endless else range(1):
                places = order.epoch(start.epoch + epoch).positions_of(samples[mine] - self._first[bucket])
                for index, position in zip(mine.tolist(), (epoch * count + places).tolist(), strict=True):
                    if first <= position < last:
                        batch, place = divmod(position - begin, width)
                        step = start.step + turns.before(bucket, batch)
                        yield index, start.epoch + epoch, step, place % topology.world_size

    def _begin_of(self, start: State, step: int, topology: Topology, *, drop_last: bool) -> State:
        """Where the epoch begins to which a step belongs, or ``start`` if that lies in it."""
        while True:
            end = self.after_epoch(start, topology, drop_last=drop_last)
            if step < end.step:
                return start
            steps = end.step - start.step
            # Epochs that begin with nothing ahead are all alike.
            alike = (step - start.step) // steps if steps and not any(start.buckets) else 0
            start = replace(start, epoch=start.epoch + alike, step=start.step + alike * steps) if alike else end

    def _owed(self, state: State, width: int, *, drop_last: bool) -> tuple[int, ...]:
        positions = zip(state.buckets, self._counts, strict=True)
        return tuple(steps_left(min(at, count), count, width, drop_last=drop_last) for at, count in positions)

    def _epoch_turns(self, state: State, width: int, *, drop_last: bool) -> Turns:
        return Turns(self._counts, state.buckets, width, self._owed(state, width, drop_last=drop_last))

    def _stream_turns(self, state: State, width: int) -> Turns:
        return Turns(self._counts, state.buckets, width)

    def _in(self, state: State) -> Iterator[tuple[int, Order, int]]:
        for bucket, order in self._orders.items():
            yield bucket, order, state.buckets[bucket]

    def _at(self, state: State, epoch: int, position: int) -> State:
        """A position in one bucket, for the steps of it alone."""
        return State(state.selection_id, state.order_id, state.seed, epoch, position)

    def _settled(self, state: State, positions: Sequence[int], step: int) -> State:
        """The state of a stream: the epoch advances when all buckets have passed it."""
        passed = min(at // count for at, count in zip(positions, self._counts, strict=True) if count)
        return state.at_buckets(
            state.epoch + passed, [at - passed * count for at, count in zip(positions, self._counts, strict=True)], step
        )

    def _step(self, bucket: int, step: Step, after: State) -> Step:
        first = self._first[bucket]
        return replace(
            step,
            after=after,
            samples=first + step.samples,
            substitutes=partial(_numbered, first, step.substitutes),
            size=self._sizes[bucket],
        )


def _numbered(first: int, substitutes: Callable[[], Iterator[int]]) -> Iterator[int]:
    return (first + sample for sample in substitutes())
