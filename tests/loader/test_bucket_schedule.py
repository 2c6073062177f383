"""Steps of a pin with shape buckets: of one bucket each, exactly once, resumable on any other topology."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.errors import LoaderError, PinError
from mmfs.loader.bucket_schedule import BucketSchedule
from mmfs.loader.state import State
from mmfs.loader.step import Step
from mmfs.loader.topology import Topology
from mmfs.store.pin import OrderParameters

SHARDS = st.lists(st.lists(st.integers(0, 40), max_size=4), min_size=1, max_size=8).filter(
    lambda found: any(map(any, found))
)
WORLDS = st.integers(1, 64)
BATCHES = st.integers(1, 20)
RESTARTS = st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 6)), max_size=5)


def schedule_of(shard_rows: list[list[int]], seed: int = 0, *, shuffle: bool = True) -> BucketSchedule:
    buckets = [tuple(rows for rows in shards if rows) for shards in shard_rows]
    sizes = [(8 + number, 8) for number in range(len(buckets))]
    return BucketSchedule(buckets, sizes, [OrderParameters(block=4)] * len(buckets), "s", seed=seed, shuffle=shuffle)


def counts_of(shard_rows: list[list[int]]) -> list[int]:
    return [sum(shards) for shards in shard_rows]


def restarted(schedule: BucketSchedule, state: State) -> tuple[BucketSchedule, State]:
    """What another process makes of the state."""
    text = json.dumps(state.to_dict())
    assert len(text) < 10_000
    return schedule.resumed(json.loads(text))


def deliver(
    schedule: BucketSchedule, state: State, world: int, batch: int, steps: int | None, *, mode: str
) -> tuple[list[list[int]], State, int]:
    """Up to ``steps`` steps on all ranks: valid samples bucket by bucket, by position; the state after; steps made."""

    def steps_of(rank: int) -> Iterator[Step]:
        topology = Topology(rank, world, batch)
        if mode == "stream":
            return schedule.stream_steps(state, topology)
        return schedule.epoch_steps(state, topology, drop_last=mode == "drop_last")

    ranks = [list(islice(steps_of(rank), steps)) for rank in range(world)]
    assert len({len(made) for made in ranks}) == 1, "every rank makes the same number of steps"
    first = np.cumsum([0, *schedule._counts])
    found: list[list[int]] = [[] for _ in schedule._counts]
    after = state
    for made in zip(*ranks, strict=True):
        assert len({(step.after, step.size) for step in made}) == 1, "state and size are the same on every rank"
        assert made[0].after.step == after.step + 1
        (bucket,) = {int(one) for step in made for one in np.searchsorted(first, step.samples, side="right") - 1}
        assert made[0].size == (8 + bucket, 8)
        for place in range(batch):
            found[bucket] += [int(step.samples[place]) for step in made if step.valid[place]]
        after = made[0].after
    return found, after, len(ranks[0])


def epoch_of(schedule: BucketSchedule, bucket: int, epoch: int) -> list[int]:
    """The order of one bucket in one epoch."""
    order = schedule._orders[bucket]
    return (schedule._first[bucket] + order.epoch(epoch).samples_at(np.arange(order.samples))).tolist()


def chain(shard_rows: list[list[int]], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool) -> None:
    schedule = schedule_of(shard_rows, seed, shuffle=shuffle)
    state, seen = schedule.start, [[] for _ in shard_rows]
    for world, batch, steps in [*restarts, (3, 7, 10**6)]:
        if state.epoch > 0:
            break
        schedule, state = restarted(schedule_of(shard_rows, shuffle=shuffle), state)
        some, state, made = deliver(schedule, state, world, batch, steps, mode="epoch")
        assert made <= steps
        seen = [before + more for before, more in zip(seen, some, strict=True)]
    assert (state.epoch, state.position, set(state.buckets)) == (1, 0, {0})
    for bucket, count in enumerate(counts_of(shard_rows)):
        assert seen[bucket] == (epoch_of(schedule, bucket, 0) if count else [])


@settings(max_examples=25)
@given(SHARDS, st.integers(0, 99), RESTARTS, st.booleans())
def test_any_chain_of_restarts_delivers_each_bucket_in_its_order_exactly_once(
    shard_rows: list[list[int]], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool
) -> None:
    chain(shard_rows, seed, restarts, shuffle)


@pytest.mark.soak
@settings(max_examples=200)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=6), min_size=1, max_size=64).filter(
        lambda found: any(map(any, found))
    ),
    st.integers(0, 99),
    st.lists(st.tuples(WORLDS, BATCHES, st.integers(1, 12)), max_size=9),
    st.booleans(),
)
def test_any_chain_of_restarts_of_longer_epochs_too(
    shard_rows: list[list[int]], seed: int, restarts: list[tuple[int, int, int]], shuffle: bool
) -> None:
    chain(shard_rows, seed, restarts, shuffle)


@settings(max_examples=25)
@given(SHARDS, WORLDS, BATCHES)
def test_drop_last_delivers_whole_batches_of_each_bucket(shard_rows: list[list[int]], world: int, batch: int) -> None:
    schedule, width = schedule_of(shard_rows), world * batch
    topology = Topology(0, world, batch)
    seen, state, steps = deliver(schedule, schedule.start, world, batch, None, mode="drop_last")
    counts = counts_of(shard_rows)
    assert steps == schedule.steps_left(schedule.start, topology, drop_last=True) == sum(n // width for n in counts)
    assert schedule.left_out(schedule.start, topology) == sum(n % width for n in counts)
    for bucket, count in enumerate(counts):
        whole = count // width * width
        assert seen[bucket] == (epoch_of(schedule, bucket, 0)[:whole] if whole else [])
    assert (state.epoch, state.position) == ((1, 0) if steps else (0, 0))
    assert schedule.after_epoch(schedule.start, topology, drop_last=True) == replace(
        schedule.start, epoch=1, step=steps
    )


@settings(max_examples=12)
@given(SHARDS, RESTARTS)
def test_the_stream_runs_through_epochs_of_each_bucket_without_padding(
    shard_rows: list[list[int]], restarts: list[tuple[int, int, int]]
) -> None:
    schedule, counts = schedule_of(shard_rows, 5), counts_of(shard_rows)
    state, seen = schedule.start, [[] for _ in shard_rows]
    # A few epochs say as much as thousands.
    most = 8 * min(count for count in counts if count)
    for wanted, each, steps in [*restarts, (2, 3, 4)]:
        world = min(wanted, most)
        batch = max(1, min(each, 3, most // world))
        schedule, state = restarted(schedule_of(shard_rows), state)
        some, state, made = deliver(schedule, state, world, batch, steps, mode="stream")
        assert made == steps
        seen = [before + more for before, more in zip(seen, some, strict=True)]
    for bucket, count in enumerate(counts):
        epochs = range(-(-len(seen[bucket]) // max(1, count)))
        assert (
            seen[bucket] == [one for epoch in epochs for one in epoch_of(schedule, bucket, epoch)][: len(seen[bucket])]
        )
    passed = [len(found) // count for found, count in zip(seen, counts, strict=True) if count]
    assert state.epoch == min(passed)
    positions = zip(state.buckets, counts, strict=True)
    assert [at + state.epoch * count for at, count in positions] == [len(found) for found in seen]
    assert state.position == sum(state.buckets)


@settings(max_examples=25)
@given(SHARDS, st.integers(1, 9), st.integers(1, 30), st.integers(1, 4))
def test_epochs_after_a_stream_deliver_what_it_left_and_nothing_again(
    shard_rows: list[list[int]], batch: int, streamed: int, world: int
) -> None:
    schedule, counts = schedule_of(shard_rows), counts_of(shard_rows)
    batch = min(batch, max(1, min(count for count in counts if count) // world))
    seen, state, _ = deliver(schedule, schedule.start, world, batch, streamed, mode="stream")
    last = max(len(found) // count for found, count in zip(seen, counts, strict=True) if count) + 2
    while state.epoch < last:
        topology = Topology(0, world, batch)
        end = schedule.after_epoch(state, topology, drop_last=False)
        some, state, made = deliver(schedule, state, world, batch, None, mode="epoch")
        assert state == end or made == 0
        state = end
        seen = [before + more for before, more in zip(seen, some, strict=True)]
    for bucket, count in enumerate(counts):
        expected = [one for epoch in range(last) for one in (epoch_of(schedule, bucket, epoch) if count else [])]
        assert seen[bucket] == expected


@settings(max_examples=25)
@given(
    SHARDS, st.integers(1, 5), st.integers(1, 9), st.integers(0, 20), st.sampled_from(["epoch", "drop_last", "stream"])
)
def test_the_ledger_knows_every_step_and_every_delivery(
    shard_rows: list[list[int]], world: int, batch: int, skipped: int, mode: str
) -> None:
    schedule = schedule_of(shard_rows, 3)
    topologies = [Topology(rank, world, batch) for rank in range(world)]
    options = {"drop_last": mode == "drop_last", "is_stream": mode == "stream"}
    if mode == "drop_last" and not schedule.steps_left(schedule.start, topologies[0], drop_last=True):
        return  # a loader refuses it
    _, start, _ = deliver(schedule, replace(schedule.start, epoch=2, step=11), 2, 3, skipped, mode="stream")
    state, delivered, last = start, set(), start.step + 25
    while state.step < last:
        before = state
        if mode == "stream":
            ranks = [schedule.stream_steps(state, topology) for topology in topologies]
        else:
            ranks = [schedule.epoch_steps(state, one, drop_last=options["drop_last"]) for one in topologies]
        for steps in zip(*ranks, strict=True):
            assert schedule.state_at(start, state.step, topologies[0], **options) == state
            for rank, step in enumerate(steps):
                delivered |= {(one, state.step, rank) for one in step.samples[step.valid].tolist()}
            state = steps[0].after
            if state.step >= last:
                break
        if state == before:
            state = schedule.after_epoch(state, topologies[0], drop_last=options["drop_last"])
    samples = np.arange(schedule.samples)[::2]
    for first in (start.step, start.step + 9):
        found = schedule.sightings(start, samples, topologies[0], **options, first_step=first, last_step=last)
        seen = [(int(samples[index]), step, rank) for index, _, step, rank in found]
        wanted = {one for one in delivered if one[0] in set(samples.tolist()) and first <= one[1] < last}
        assert set(seen) == wanted
        assert len(seen) >= len(wanted)


def test_sightings_name_the_epoch_of_the_bucket() -> None:
    schedule, topology = schedule_of([[6], [2]]), Topology(0, 1, 2)
    found = schedule.sightings(
        schedule.start, np.array([6, 7]), topology, drop_last=False, is_stream=False, first_step=0, last_step=12
    )
    assert [(epoch, step // 4) for _, epoch, step, _ in sorted(found, key=lambda one: one[2])] == [
        (epoch, epoch) for epoch in (0, 0, 1, 1, 2, 2)
    ]


def test_buckets_have_orders_of_their_own() -> None:
    schedule = schedule_of([[400], [400]])
    first, second = (np.array(epoch_of(schedule, bucket, 0)) - 400 * bucket for bucket in (0, 1))
    assert (first != second).any()
    assert epoch_of(schedule, 0, 0) != epoch_of(schedule_of([[400], [400]], seed=1), 0, 0)


def test_substitutes_and_repeats_are_of_the_same_bucket() -> None:
    schedule = schedule_of([[5], [9]])
    for step in schedule.epoch_steps(schedule.start, Topology(0, 1, 4), drop_last=False):
        bucket = range(5) if step.size == (8, 8) else range(5, 14)
        assert set(step.samples.tolist()) <= set(bucket)
        assert sorted(step.substitutes()) == list(bucket)


def test_another_epoch_begins_at_its_start() -> None:
    schedule = schedule_of([[5], [9]])
    step = next(schedule.epoch_steps(schedule.start, Topology(0, 1, 4), drop_last=False))
    assert schedule.at_epoch(step.after, 0) == step.after
    assert schedule.at_epoch(step.after, 4) == replace(schedule.start, epoch=4, step=1)


@pytest.mark.parametrize(
    "damage",
    [
        {"buckets": [5, 9], "position": 14},  # the epoch is over
        {"buckets": [-1, 1], "position": 0},
        {"buckets": [1, 1], "position": 3},
        {"buckets": [1], "position": 1},
        {"buckets": [0, 0, 0, 0], "position": 0},
        {"buckets": [0, 0, 1], "position": 1},  # of the empty bucket
    ],
)
def test_a_state_that_no_loader_made_is_refused(damage: dict[str, object]) -> None:
    schedule = schedule_of([[5], [9], []])
    with pytest.raises(LoaderError, match="the state stands at position"):
        schedule.resumed(schedule.start.to_dict() | {"buckets": [0, 0, 0]} | damage)


def test_a_state_of_another_selection_or_without_buckets_is_refused() -> None:
    schedule = schedule_of([[5], [9]])
    saved = schedule.start.to_dict()
    with pytest.raises(LoaderError, match="belongs to selection other"):
        schedule.resumed(saved | {"selection_id": "other"})
    with pytest.raises(LoaderError, match="another way of ordering"):
        schedule.resumed(schedule_of([[5], [9]], shuffle=False).start.to_dict())
    with pytest.raises(LoaderError, match="no loader state"):
        schedule.resumed(saved | {"buckets": "here"})
    with pytest.raises(LoaderError, match="the state stands at position"):
        schedule.resumed({name: value for name, value in saved.items() if name != "buckets"})


def test_a_state_without_buckets_says_nothing_of_them() -> None:
    assert "buckets" not in State("s", "o", 0).to_dict()
    assert schedule_of([[5], [9]]).start.to_dict()["buckets"] == [0, 0]


def test_the_state_of_many_buckets_is_small() -> None:
    state = State("s" * 32, "o" * 16, 2**60).at_buckets(10**6, [10**12] * 64, 10**9)
    assert len(json.dumps(state.to_dict())) < 10_000


def test_a_schedule_of_no_sample_is_refused() -> None:
    with pytest.raises(PinError, match="no sample"):
        schedule_of([[], []])
