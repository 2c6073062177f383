"""Which samples each step delivers: of one selection here, of shape buckets and mixtures in modules of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from mmfs.loader.order import Order
from mmfs.loader.state import State, state_at_step, steps_left
from mmfs.loader.step import Step
from mmfs.loader.steps import epoch_steps, stream_steps
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s
from mmfs.store.pin import Pin


class Schedule(ABC):
    """What the steps of a run deliver: a pure function of the state, the topology and what was pinned.

    Attributes:
        samples: Samples of an epoch.
        start: The state at the start of epoch 0.
    """

    samples: int
    start: State

    @abstractmethod
    def epoch_steps(self, state: State, topology: Topology, *, drop_last: bool) -> Iterator[Step]:
        """The steps from the state to the end of its epoch: as many on every rank."""

    @abstractmethod
    def stream_steps(self, state: State, topology: Topology) -> Iterator[Step]:
        """The steps from the state on, for ever: nothing is padded, nothing dropped."""

    @abstractmethod
    def steps_left(self, state: State, topology: Topology, *, drop_last: bool) -> int:
        """How many steps `epoch_steps` makes."""

    @abstractmethod
    def left_out(self, state: State, topology: Topology) -> int:
        """Samples that ``drop_last`` leaves out between the state and the end of its epoch, on all ranks together."""

    def at_epoch(self, state: State, epoch: int) -> State:
        """The start of an epoch; the state itself when it stands in that epoch."""
        return state.at_epoch(epoch)

    def after_epoch(self, state: State, topology: Topology, *, drop_last: bool) -> State:
        """The state after the steps that `epoch_steps` makes, and after none of them if there are none."""
        steps = self.steps_left(state, topology, drop_last=drop_last)
        return replace(state, epoch=state.epoch + 1, position=0, step=state.step + steps)

    @abstractmethod
    def state_at(self, start: State, step: int, topology: Topology, *, drop_last: bool, is_stream: bool) -> State:
        """The state before a step, when iteration began at ``start`` and went on, epoch after epoch."""

    @abstractmethod
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

        Repeats that only fill a batch are left out.

        Yields:
            Index into ``samples``, epoch, step, rank.
        """

    @abstractmethod
    def resumed(self, saved: Mapping[str, Any]) -> tuple[Self, State]:
        """The schedule with the seed of a saved state, and that state.

        Raises:
            LoaderError: It is no state, or belongs to another selection or way of ordering.
        """


class SelectionSchedule(Schedule):
    """The samples of one selection, in the order of each epoch."""

    def __init__(self, order: Order, selection_id: str) -> None:
        self.order = order
        self.samples = order.samples
        self.start = State(selection_id, order.id, order.seed)

    @classmethod
    def of(cls, pin: Pin, *, seed: int, shuffle: bool) -> Self:
        """The schedule of a pin.

        Raises:
            PinError: It holds no sample.
        """
        return cls(Order(tuple(pin.shard_rows.values()), pin.order, seed, shuffle), pin.selection_id)

    def epoch_steps(self, state: State, topology: Topology, *, drop_last: bool) -> Iterator[Step]:
        return epoch_steps(self.order, state, topology, drop_last=drop_last)

    def stream_steps(self, state: State, topology: Topology) -> Iterator[Step]:
        return stream_steps(self.order, state, topology)

    def steps_left(self, state: State, topology: Topology, *, drop_last: bool) -> int:
        return steps_left(state.position, self.samples, topology.global_batch, drop_last=drop_last)

    def left_out(self, state: State, topology: Topology) -> int:
        return (self.samples - state.position) % topology.global_batch

    def resumed(self, saved: Mapping[str, Any]) -> tuple[Self, State]:
        state = self.start.resumed(saved, self.samples)
        order = Order(self.order.shard_rows, self.order.parameters, state.seed, self.order.shuffle)
        return type(self)(order, state.selection_id), state

    def state_at(self, start: State, step: int, topology: Topology, *, drop_last: bool, is_stream: bool) -> State:
        width = topology.global_batch
        return state_at_step(start, step, self.samples, width, drop_last=drop_last, is_stream=is_stream)

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
        width = topology.global_batch
        begin, end = (
            self.state_at(start, step, topology, drop_last=drop_last, is_stream=is_stream)
            for step in (first_step, last_step)
        )
        for epoch in range(begin.epoch, end.epoch + 1):
            position, before, steps = self._part_of(start, epoch, width, drop_last=drop_last, is_stream=is_stream)
            for index, place in enumerate(self.order.epoch(epoch).positions_of(samples).tolist()):
                number, past = divmod(place - position, width)
                step = before + number
                if 0 <= number < steps and first_step <= step < last_step:
                    yield index, epoch, step, past % topology.world_size

    def _part_of(
        self, start: State, epoch: int, width: int, *, drop_last: bool, is_stream: bool
    ) -> tuple[int, int, int]:
        """What is delivered of an epoch: the position and the step at which it begins, and its number of steps."""
        if is_stream:
            # Positions of one epoch after the other, counted on from the beginning of the stream.
            position = start.position - (epoch - start.epoch) * self.samples
            return position, start.step, -(-(self.samples - position) // width)
        head = steps_left(start.position, self.samples, width, drop_last=drop_last)
        if epoch == start.epoch:
            return start.position, start.step, head
        whole = steps_left(0, self.samples, width, drop_last=drop_last)
        return 0, start.step + head + (epoch - start.epoch - 1) * whole, whole
