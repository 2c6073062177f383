"""Which samples each step delivers: of one selection here, of shape buckets and mixtures in modules of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

from mmfs.loader.order import Order
from mmfs.loader.state import State, steps_left
from mmfs.loader.step import Step
from mmfs.loader.steps import epoch_steps, stream_steps
from mmfs.loader.topology import Topology
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
