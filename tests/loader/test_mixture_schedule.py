"""Steps of a mixture: one endless sequence, the same on any topology, each pin in its own epochs. No byte is read."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmfs.errors import LoaderError
from mmfs.loader.mixture_order import RUN, MixtureOrder
from mmfs.loader.mixture_schedule import MixtureSchedule
from mmfs.loader.order import EpochOrder, Order
from mmfs.loader.state import State
from mmfs.loader.step import Step
from mmfs.loader.steps import caption_draws
from mmfs.loader.topology import Topology
from mmfs.store.pin import OrderParameters

#: Of each pin: samples of its shards, and its weight. Smaller pins pass very many epochs, which says no more.
PINS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 150), min_size=1, max_size=4).filter(lambda shards: sum(shards) > 9), st.integers(1, 9)
    ),
    min_size=1,
    max_size=4,
)
WORLDS, BATCHES = st.integers(1, 64), st.integers(1, 12)
Pins = list[tuple[list[int], int]]


def schedule_of(pins: Pins, seed: int = 0, *, shuffle: bool = True) -> MixtureSchedule:
    orders = [Order(tuple(shards), OrderParameters(block=4), seed, shuffle) for shards, _ in pins]
    mixture = MixtureOrder(tuple(weight for _, weight in pins), seed, shuffle)
    return MixtureSchedule(mixture, orders, "mixture")


def steps_of(schedule: MixtureSchedule, state: State, topology: Topology, steps: int) -> list[Step]:
    return list(islice(schedule.stream_steps(state, topology), steps))


def deliver(
    schedule: MixtureSchedule, state: State, world: int, batch: int, steps: int
) -> tuple[list[int], list[int], State]:
    """Some steps on all ranks: samples by position, the draws of their captions, and the state after."""
    ranks = [steps_of(schedule, state, Topology(rank, world, batch), steps) for rank in range(world)]
    assert all(step.valid.all() for made in ranks for step in made)
    for made in zip(*ranks, strict=True):
        assert len({step.after for step in made}) == 1, "the state is the same on every rank"
        state = made[0].after
    samples, draws = (
        np.array([[getattr(step, name) for step in made] for made in ranks]).transpose(1, 2, 0).reshape(-1).tolist()
        for name in ("samples", "draws")
    )
    return samples, draws, state


@settings(max_examples=12)
@given(PINS, st.integers(0, 99), st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 3)), min_size=1, max_size=3))
@example([([1], 5), ([0, 3], 1)], 0, [(3, 2, 2), (1, 5, 1)])
def test_any_chain_of_restarts_delivers_the_one_sequence(
    pins: Pins, seed: int, restarts: list[tuple[int, int, int]]
) -> None:
    _chain(pins, seed, restarts)


@pytest.mark.soak
@settings(max_examples=60)
@given(PINS, st.integers(0, 99), st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 9)), min_size=1, max_size=9))
def test_any_longer_chain_of_restarts_too(pins: Pins, seed: int, restarts: list[tuple[int, int, int]]) -> None:
    _chain(pins, seed, restarts)


def _chain(pins: Pins, seed: int, restarts: list[tuple[int, int, int]]) -> None:
    whole, state, seen = schedule_of(pins, seed), schedule_of(pins, seed).start, []
    for world, batch, steps in restarts:
        saved = json.dumps(state.to_dict())
        assert len(saved) < 10_000
        schedule, state = schedule_of(pins, seed=0).resumed(json.loads(saved))
        some, draws, state = deliver(schedule, state, world, batch, steps)
        seen += list(zip(some, draws, strict=True))
    samples, draws, after = deliver(whole, whole.start, 1, 1, len(seen))
    assert seen == list(zip(samples, draws, strict=True))
    assert (state.position, state.epoch) == (after.position, 0) == (len(seen), 0)


@settings(max_examples=30)
@given(PINS, st.integers(0, 99), st.integers(1, 30), st.booleans())
def test_each_pin_passes_its_own_epochs(pins: Pins, seed: int, runs: int, shuffle: bool) -> None:
    schedule = schedule_of(pins, seed, shuffle=shuffle)
    samples, draws, _ = deliver(schedule, schedule.start, 1, RUN, runs)
    first = 0
    for shards, _ in pins:
        order = Order(tuple(shards), OrderParameters(block=4), seed, shuffle)
        count = order.samples
        mine = [(one - first, draw) for one, draw in zip(samples, draws, strict=True) if first <= one < first + count]
        expected = []
        for epoch in (order.epoch(number) for number in range(-(-len(mine) // count))):
            places = epoch.samples_at(np.arange(count))
            expected += list(zip(places.tolist(), caption_draws(epoch, places).tolist(), strict=True))
        # Whole runs hold the first draws of each pin, whatever their order inside a run.
        assert sorted(mine) == sorted(expected[: len(mine)])
        if not shuffle:
            assert mine == expected[: len(mine)]
        first += count


@settings(max_examples=20)
@given(PINS, WORLDS, BATCHES, st.integers(0, 300), st.integers(0, 30), st.integers(1, 12))
def test_where_samples_are_seen_is_computed_as_it_was_delivered(
    pins: Pins, world: int, batch: int, position: int, step: int, steps: int
) -> None:
    schedule = schedule_of(pins, seed=3)
    start = State("mixture", schedule.start.order_id, 3, position=position, step=step)
    made = [steps_of(schedule, start, Topology(rank, world, batch), steps) for rank in range(world)]
    wanted = np.arange(0, schedule.samples, 3)
    delivered = [
        (sample, step + number, rank)
        for rank, mine in enumerate(made)
        for number, one in enumerate(mine)
        for sample in one.samples.tolist()
        if sample % 3 == 0 and number >= steps // 2
    ]
    topology = Topology(0, world, batch)
    found = schedule.sightings(
        start,
        wanted,
        topology,
        drop_last=False,
        is_stream=True,
        first_step=step + steps // 2,
        last_step=step + steps,
    )
    assert sorted((int(wanted[index]), at, rank) for index, _, at, rank in found) == sorted(delivered)
    for number, one in enumerate(made[0]):
        before = schedule.state_at(start, step + number + 1, topology, drop_last=False, is_stream=True)
        assert before == one.after


def test_the_epoch_of_a_sighting_is_that_of_its_pin() -> None:
    schedule = schedule_of([([10], 1), ([1000], 1)])
    found = schedule.sightings(
        schedule.start,
        np.array([4, 14]),
        Topology(0, 2, 32),
        drop_last=False,
        is_stream=True,
        first_step=0,
        last_step=10,
    )
    seen = list(found)
    assert [epoch for index, epoch, _, _ in seen if index == 0] == list(range(32))
    assert {epoch for index, epoch, _, _ in seen if index == 1} <= {0}


def test_substitutes_are_what_follows_whichever_pin_it_is_of() -> None:
    schedule = schedule_of([([30], 2), ([20], 1)])
    first, second = steps_of(schedule, schedule.start, Topology(0, 1, 12), 2)
    assert list(islice(first.substitutes(), 12)) == second.samples.tolist()
    assert max(second.samples) >= 30 > min(second.samples)
    assert len(list(first.substitutes())) == 50


def test_a_mixture_has_no_epochs_and_no_length() -> None:
    schedule = schedule_of([([30], 2), ([20], 1)])
    with pytest.raises(LoaderError, match=r"no epoch to iterate over.*stream\(\)"):
        schedule.epoch_steps(schedule.start, Topology(0, 1, 4), drop_last=False)
    with pytest.raises(LoaderError, match="no length"):
        schedule.steps_left(schedule.start, Topology(0, 1, 4), drop_last=False)
    with pytest.raises(LoaderError, match="no epoch to go to"):
        schedule.at_epoch(schedule.start, 0)
    assert schedule.left_out(schedule.start, Topology(0, 1, 4)) == 0


def test_states_of_other_mixtures_are_refused() -> None:
    schedule = schedule_of([([30], 2), ([20], 1)])
    saved = schedule.start.to_dict() | {"position": 10**15}
    assert schedule.resumed(saved)[1].position == 10**15
    with pytest.raises(LoaderError, match=r"selection other, this mixture's is mixture.*same weights"):
        schedule.resumed(saved | {"selection_id": "other"})
    with pytest.raises(LoaderError, match="another way of ordering"):
        schedule_of([([30], 2), ([20], 1)], shuffle=False).resumed(saved)
    with pytest.raises(LoaderError, match="epoch 3, and a mixture has none"):
        schedule.resumed(saved | {"epoch": 3})
    with pytest.raises(LoaderError, match="no loader state"):
        schedule.resumed({"position": 4})


def test_steps_begin_at_once_also_where_a_pin_is_tiny() -> None:
    """A pin of one sample passes an epoch a draw: steps are not laid out for thousands of them in advance."""
    ordered = []

    class Counted(Order):
        def epoch(self, epoch: int) -> EpochOrder:
            ordered.append(epoch)
            return super().epoch(epoch)

    orders = [Counted((1,), OrderParameters()), Order((100_000,), OrderParameters())]
    schedule = MixtureSchedule(MixtureOrder((1, 1)), orders, "mixture")
    next(schedule.stream_steps(schedule.start, Topology(0, 1, 4)))
    assert len(ordered) <= 8
