"""Steps: exactly once, equal on every rank, resumable on any other topology. No byte is read here."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.errors import LoaderError
from mmfs.loader.order import Order
from mmfs.loader.state import State, state_at_step, steps_left
from mmfs.loader.steps import epoch_steps, stream_steps
from mmfs.loader.topology import Topology, find_topology
from mmfs.store.pin import OrderParameters

SHARDS = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)
WORLDS = st.integers(1, 64)
BATCHES = st.integers(1, 40)


def start_of(order: Order) -> State:
    return State("selection", order.id, order.seed)


def deliver(
    order: Order, state: State, world: int, batch: int, steps: int | None, *, drop_last: bool = False
) -> tuple[list[int], State, int]:
    """Up to ``steps`` steps of an epoch on all ranks: valid samples by position, the state after, and steps made."""
    ranks = [
        list(islice(epoch_steps(order, state, Topology(rank, world, batch), drop_last=drop_last), steps))
        for rank in range(world)
    ]
    assert len({len(made) for made in ranks}) == 1, "every rank makes the same number of steps"
    seen = []
    for made in zip(*ranks, strict=True):
        assert len({step.after for step in made}) == 1, "the state is the same on every rank"
        for place in range(batch):
            seen += [int(step.samples[place]) for step in made if step.valid[place]]
        state = made[0].after
    return seen, state, len(ranks[0])


@settings(max_examples=25)
@given(SHARDS, st.integers(0, 99), st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 4)), max_size=5), st.booleans())
def test_any_chain_of_restarts_delivers_the_one_order_exactly_once(
    shards: list[int], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool
) -> None:
    _chain(shards, seed, restarts, shuffle)


@pytest.mark.soak
@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=20).filter(any),
    st.integers(0, 99),
    st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 9)), max_size=9),
    st.booleans(),
)
def test_any_chain_of_restarts_of_a_longer_epoch_too(
    shards: list[int], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool
) -> None:
    _chain(shards, seed, restarts, shuffle)


def _chain(shards: list[int], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool) -> None:
    order = Order(tuple(shards), OrderParameters(block=4), seed, shuffle)
    state, seen = start_of(order), []
    for world, batch, steps in [*restarts, (3, 7, 10**6)]:
        if state.epoch > 0:
            break
        saved = json.loads(json.dumps(state.to_dict()))
        some, state, _ = deliver(order, start_of(order).resumed(saved, order.samples), world, batch, steps)
        seen += some
    assert (state.epoch, state.position) == (1, 0)
    assert seen == order.epoch(0).samples_at(np.arange(order.samples)).tolist()


@settings(max_examples=25)
@given(SHARDS, WORLDS, BATCHES)
def test_drop_last_delivers_whole_batches_only(shards: list[int], world: int, batch: int) -> None:
    order = Order(tuple(shards), OrderParameters())
    whole = order.samples // (world * batch)
    if whole == 0:
        return
    seen, state, steps = deliver(order, start_of(order), world, batch, None, drop_last=True)
    assert steps == whole == steps_left(0, order.samples, world * batch, drop_last=True)
    assert seen == order.epoch(0).samples_at(np.arange(whole * world * batch)).tolist()
    assert (state.epoch, state.position) == (1, 0)


@settings(max_examples=25)
@given(SHARDS, WORLDS, BATCHES, st.integers(1, 30))
def test_the_stream_runs_through_epochs_without_padding(shards: list[int], world: int, batch: int, steps: int) -> None:
    order = Order(tuple(shards), OrderParameters(), seed=5)
    # A few epochs say as much as thousands.
    world, batch = min(world, order.samples), min(batch, 8)
    steps = max(1, min(steps, 4 * order.samples // (world * batch)))
    ranks = [
        list(islice(stream_steps(order, start_of(order), Topology(rank, world, batch)), steps)) for rank in range(world)
    ]
    total = steps * world * batch
    epochs = range(-(-total // order.samples))
    expected = [order.epoch(epoch).samples_at(np.arange(order.samples)) for epoch in epochs]
    seen = np.array([[step.samples for step in made] for made in ranks])  # [rank, step, place]
    assert seen.transpose(1, 2, 0).reshape(-1).tolist() == np.concatenate(expected)[:total].tolist()
    assert all(step.valid.all() for made in ranks for step in made)
    after = ranks[0][-1].after
    assert (after.epoch, after.position) == divmod(total, order.samples)


def test_a_stream_goes_on_where_it_stopped() -> None:
    order = Order((23,), OrderParameters())
    whole = list(islice(stream_steps(order, start_of(order), Topology(0, 1, 5)), 12))
    rest = list(islice(stream_steps(order, whole[6].after, Topology(0, 1, 5)), 5))
    assert [step.samples.tolist() for step in rest] == [step.samples.tolist() for step in whole[7:]]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_the_state_before_any_step_can_be_computed(is_stream: bool, drop_last: bool) -> None:
    order = Order((50,), OrderParameters())
    topology = Topology(0, 2, 4)
    first = State("selection", order.id, 0, epoch=2, position=19, step=7)
    state, seen = first, []
    while len(seen) < 30:
        steps = (
            islice(stream_steps(order, state, topology), 30)
            if is_stream
            else epoch_steps(order, state, topology, drop_last=drop_last)
        )
        for step in steps:
            seen.append(state)
            state = step.after
    for before in seen:
        assert state_at_step(first, before.step, 50, 8, drop_last=drop_last, is_stream=is_stream) == before


def test_more_ranks_than_samples_still_make_equal_steps() -> None:
    order = Order((3,), OrderParameters())
    seen, _, steps = deliver(order, start_of(order), 8, 2, None)
    assert steps == 1
    assert sorted(seen) == [0, 1, 2]


def test_states_of_other_samples_or_orders_are_refused() -> None:
    order = Order((10,), OrderParameters())
    saved = State("other", order.id, 0).to_dict()
    with pytest.raises(LoaderError, match="belongs to selection other"):
        start_of(order).resumed(saved, 10)
    with pytest.raises(LoaderError, match="another way of ordering"):
        start_of(order).resumed(saved | {"selection_id": "selection", "order_id": "x"}, 10)
    with pytest.raises(LoaderError, match="no loader state"):
        start_of(order).resumed({"epoch": 1}, 10)
    with pytest.raises(LoaderError, match="position 10"):
        start_of(order).resumed(start_of(order).to_dict() | {"position": 10}, 10)


def test_a_state_is_small() -> None:
    assert len(json.dumps(State("s" * 32, "o" * 16, 2**60, 10**6, 10**12, 10**9).to_dict())) < 10_000


def test_the_topology_comes_from_arguments_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert find_topology(None, None, 8) == Topology(2, 4, 8)
    assert find_topology(0, 1, 8) == Topology(0, 1, 8)
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(LoaderError, match="RANK or WORLD_SIZE"):
        find_topology(None, None, 8)
    with pytest.raises(LoaderError, match="give both"):
        find_topology(1, None, 8)
    with pytest.raises(LoaderError, match="rank 4 of world_size 4"):
        find_topology(4, 4, 8)
    with pytest.raises(LoaderError, match="batch_size=0"):
        find_topology(0, 1, 0)
