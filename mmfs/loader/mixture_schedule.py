"""The steps of a mixture: which samples of which pins, for ever.

Samples of all pins are numbered through: those of the second pin follow those of the first, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Self

import numpy as np

from mmfs.errors import LoaderError
from mmfs.ids import digest
from mmfs.loader.mixture import Mixture
from mmfs.loader.mixture_order import RUN, MixtureOrder
from mmfs.loader.order import EpochOrder, Order
from mmfs.loader.schedule import Schedule
from mmfs.loader.state import State
from mmfs.loader.step import Step
from mmfs.loader.steps import caption_draws
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s

#: Positions turned into samples at once, and epochs of a small pin ordered in advance, if a step allows.
_AT_ONCE, _EPOCHS_AHEAD = 8192, 4
#: Positions stay so far below 2**63 that a step cannot pass it.
_MOST_POSITIONS = 2**62

_Epochs = dict[tuple[int, int], EpochOrder]


class MixtureSchedule(Schedule):
    """Draws from several selections: draw k of one is its position k mod N of its epoch k // N.

    The state's position counts draws of all of them since the beginning; its epoch stays 0.

    Args:
        mixture: Which selection each position draws from.
        orders: The order of each selection.
        selection_id: Of the mixture.
    """

    def __init__(self, mixture: MixtureOrder, orders: Sequence[Order], selection_id: str) -> None:
        self._mixture = mixture
        self._orders = tuple(orders)
        self._first = np.cumsum([0, *(order.samples for order in orders)])
        self.samples = int(self._first[-1])
        order_id = digest(mixture.id, *(order.id for order in orders))[:16]
        self.start = State(selection_id, order_id, mixture.seed)

    @classmethod
    def of(cls, mixture: Mixture, *, seed: int, shuffle: bool) -> Self:
        """The schedule of a mixture; each pin has the order that it has alone, with the same seed."""
        orders = [Order(tuple(pin.shard_rows.values()), pin.order, seed, shuffle) for pin in mixture.pins]
        return cls(MixtureOrder(mixture.weights, seed, shuffle), orders, mixture.selection_id)

    def epoch_steps(self, state: State, topology: Topology, *, drop_last: bool) -> Iterator[Step]:
        """There are none.

        Raises:
            LoaderError: Always.
        """
        _refuse("no epoch to iterate over", "use loader.stream(), which never ends")

    def stream_steps(self, state: State, topology: Topology) -> Iterator[Step]:
        width = topology.global_batch
        valid = np.ones(topology.batch_size, np.bool_)
        steps = max(1, min(_AT_ONCE // topology.batch_size, self._most_ahead // width))
        known: _Epochs = {}
        while True:
            starts = state.position + width * np.arange(steps, dtype=np.int64)
            samples, draws = self._samples_at(starts[:, None] + topology.positions(0), known)
            for row in range(steps):
                state = replace(state, position=state.position + width, step=state.step + 1)
                yield Step(state, samples[row], valid, draws[row], _Substitutes(self, state.position))

    def steps_left(self, state: State, topology: Topology, *, drop_last: bool) -> int:
        """Unknown.

        Raises:
            LoaderError: Always.
        """
        _refuse("no length", "say how many steps to train, and leave loader.stream() after them")

    def left_out(self, state: State, topology: Topology) -> int:
        return 0

    def at_epoch(self, state: State, epoch: int) -> State:
        """There is none.

        Raises:
            LoaderError: Always.
        """
        _refuse("no epoch to go to", "pins in it pass their epochs by themselves; seed= chooses another order")

    def resumed(self, saved: Mapping[str, Any]) -> tuple[Self, State]:
        if saved.get("selection_id", self.start.selection_id) != self.start.selection_id:
            raise LoaderError(
                f"the state belongs to selection {saved['selection_id']}, this mixture's is {self.start.selection_id}",
                mend="resume with the mixture of the run: the same weights, and its pins, or ones made like= them, "
                "in the same order",
            )
        state = self.start.resumed(saved, _MOST_POSITIONS)
        if state.epoch != 0:
            raise LoaderError(
                f"the state stands in epoch {state.epoch}, and a mixture has none",
                mend="pass what state_dict() returned, as it was",
            )
        mixture = replace(self._mixture, seed=state.seed)
        orders = [replace(order, seed=state.seed) for order in self._orders]
        return type(self)(mixture, orders, state.selection_id), state

    def state_at(self, start: State, step: int, topology: Topology, *, drop_last: bool, is_stream: bool) -> State:
        """The state before a step, when iteration began at ``start``."""
        position = start.position + (step - start.step) * topology.global_batch
        return replace(start, position=position, step=step)

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
        """When samples are delivered by the steps [first_step, last_step) of a stream that began at ``start``.

        Yields:
            Index into ``samples``, epoch of its pin, step, rank.
        """
        width = topology.global_batch
        begin, end = (start.position + (step - start.step) * width for step in (first_step, last_step))
        before, after = self._mixture.draws_before(begin // RUN), self._mixture.draws_before(-(-end // RUN))
        sources = np.searchsorted(self._first, samples, side="right") - 1
        for source in np.unique(sources).tolist():
            order, mine = self._orders[source], np.flatnonzero(sources == source)
            count = order.samples
            for epoch in range(int(before[source]) // count, -(-int(after[source]) // count)):
                places = order.epoch(epoch).positions_of(samples[mine] - self._first[source])
                positions = self._mixture.positions_of(source, epoch * count + places)
                inside = (begin <= positions) & (positions < end)
                step, place = np.divmod(positions[inside] - start.position, width)
                found = (mine[inside], start.step + step, place % topology.world_size)
                for index, at, rank in zip(*(part.tolist() for part in found), strict=True):
                    yield index, epoch, at, rank

    @property
    def _most_ahead(self) -> int:
        """Positions in which no pin passes more than some epochs."""
        weights = zip(self._orders, self._mixture.weights, strict=True)
        return min(_EPOCHS_AHEAD * order.samples * self._mixture.cycle // weight for order, weight in weights)

    def _samples_at(self, positions: Int64s, known: _Epochs) -> tuple[Int64s, Int64s]:
        """Samples at positions, and the draws that choose their captions; both as they are for each pin alone.

        Args:
            positions: Of the mixture, int64 of any shape.
            known: Orders of epochs in use; updated.
        """
        sources, numbers = self._mixture.draws_at(positions)
        samples, draws = np.empty_like(positions), np.empty_like(positions)
        used: _Epochs = {}
        for source in np.unique(sources).tolist():
            order, of_source = self._orders[source], sources == source
            epochs, places = np.divmod(numbers, order.samples)
            for epoch in np.unique(epochs[of_source]).tolist():
                ordered = used[source, epoch] = known.get((source, epoch)) or order.epoch(epoch)
                mine = of_source & (epochs == epoch)
                found = ordered.samples_at(places[mine])
                samples[mine], draws[mine] = self._first[source] + found, caption_draws(ordered, found)
        known.clear()
        known.update(used)
        return samples, draws


class _Substitutes:
    """The samples that follow a step in the mixture, as many as it has."""

    def __init__(self, schedule: MixtureSchedule, start: int) -> None:
        self._schedule = schedule
        self._start = start

    def __call__(self) -> Iterator[int]:
        known: _Epochs = {}
        for position in range(self._start, self._start + self._schedule.samples):
            yield int(self._schedule._samples_at(np.array([position], np.int64), known)[0][0])


def _refuse(what: str, mend: str) -> NoReturn:
    raise LoaderError(f"a mixture of pins has {what}", mend=mend)
