"""The order: one, complete, the same on every topology, computable both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.errors import PinError
from mmfs.loader.order import Order, blocks_of
from mmfs.loader.permutation import permute, unpermute
from mmfs.store.pin import OrderParameters

SHARDS = st.lists(st.integers(0, 90), min_size=1, max_size=12).filter(any)
PARAMETERS = st.builds(
    OrderParameters, block=st.integers(1, 20), streams=st.none() | st.integers(1, 300), group=st.integers(1, 3)
)


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_holds_every_number_once_and_can_be_inverted(length: int, key: int) -> None:
    places = np.arange(length)
    values = permute(places, length, key)
    assert sorted(values.tolist()) == list(range(length))
    assert (unpermute(values, length, key) == places).all()


def test_lengths_and_keys_may_differ_from_element_to_element() -> None:
    lengths = np.repeat([1, 2, 3, 7, 16], [1, 2, 3, 7, 16])
    places = np.concatenate([np.arange(n) for n in (1, 2, 3, 7, 16)])
    values = permute(places, lengths, np.uint64(11) * lengths.astype(np.uint64))
    for length in (1, 2, 3, 7, 16):
        assert sorted(values[lengths == length].tolist()) == list(range(length))


def test_every_element_reaches_every_place_about_equally_often() -> None:
    keys = np.arange(4000, dtype=np.uint64)
    for length in (3, 7, 16):
        for element in range(length):
            counts = np.bincount(permute(np.full(4000, element), length, keys), minlength=length)
            expected = 4000 / length
            assert ((counts - expected) ** 2 / expected).sum() < 6 * length + 20


@given(SHARDS, PARAMETERS, st.integers(0, 10**6), st.integers(0, 50))
def test_every_sample_stands_at_exactly_one_position_of_an_epoch(
    shards: list[int], parameters: OrderParameters, seed: int, epoch: int
) -> None:
    order = Order(tuple(shards), parameters, seed)
    positions = np.arange(order.samples)
    samples = order.epoch(epoch).samples_at(positions)
    assert sorted(samples.tolist()) == positions.tolist()
    assert (order.epoch(epoch).positions_of(samples) == positions).all()


def test_the_order_is_what_its_text_says() -> None:
    """Built the slow way, with lists, from the steps of the text."""
    shards, block, streams, group = (37, 0, 5, 64), 8, 5, 2
    parameters = OrderParameters(block=block, streams=streams, group=group)
    order = Order(shards, parameters, seed=3)
    epoch = order.epoch(2)
    blocks, first = [], 0
    for rows in shards:
        blocks += [list(range(first + i, first + min(i + block, rows))) for i in range(0, rows, block)]
        first += rows
    flat = epoch.samples_at(np.arange(order.samples))
    quotient, more = divmod(order.samples, streams)
    by_stream = [flat[stream::streams].tolist() for stream in range(streams)]
    assert [len(rows) for rows in by_stream] == [quotient + (c < more) for c in range(streams)]
    # Undo the shuffle inside runs by sorting each run by its place in the permuted sequence of blocks.
    home = {sample: number for number, members in enumerate(blocks) for sample in members}
    sequence: list[int] = []
    for rows in by_stream:
        for start in range(0, len(rows), group * block):
            run = rows[start : start + group * block]
            order_seen = sorted({home[s] for s in run}, key=lambda b: _place(epoch, order, blocks, b))
            sequence += [s for b in order_seen for s in sorted(x for x in run if home[x] == b)]
    assert [home[s] for s in sequence] == [b for b in _permuted(epoch, order, blocks) for _ in blocks[b]]
    assert sequence == [s for b in _permuted(epoch, order, blocks) for s in blocks[b]]


def _permuted(epoch, order, blocks):
    return permute(np.arange(len(blocks)), len(blocks), epoch._block_key).tolist()


def _place(epoch, order, blocks, block):
    return _permuted(epoch, order, blocks).index(block)


def test_epochs_and_seeds_give_other_orders_and_equal_ones_the_same() -> None:
    positions = np.arange(500)

    def first(seed: int, epoch: int) -> list[int]:
        return Order((250, 250), OrderParameters(), seed).epoch(epoch).samples_at(positions).tolist()

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)


def test_without_shuffle_the_order_is_canonical() -> None:
    order = Order((3, 4), OrderParameters(), shuffle=False)
    assert order.epoch(5).samples_at(np.arange(7)).tolist() == list(range(7))


@pytest.mark.parametrize(("videos", "frames", "shards"), [(400, 50, 1), (400, 50, 37), (97, 37, 3), (4000, 53, 50)])
@pytest.mark.parametrize("world_size", [1, 3, 8, 64])
def test_a_batch_holds_as_many_videos_as_a_random_draw_would(
    videos: int, frames: int, shards: int, world_size: int
) -> None:
    cuts = np.linspace(0, videos, shards + 1).astype(int) * frames
    epoch = Order(tuple(np.diff(cuts).tolist()), OrderParameters(), seed=1).epoch(0)
    ideal = videos * (1 - (1 - 1 / videos) ** 64)
    starts = range(0, min(videos * frames - 64 * world_size, 20 * 64 * world_size), 64 * world_size)
    distinct = [len(np.unique(epoch.samples_at(start + world_size * np.arange(64)) // frames)) for start in starts]
    assert not distinct or np.mean(distinct) / ideal >= 0.95


def test_a_thousand_million_samples_cost_no_array_of_their_number() -> None:
    shards = tuple(100_000 + (number % 17) for number in range(10_000))
    order = Order(shards, OrderParameters(), seed=1).epoch(3)
    positions = np.arange(0, 10**9, 10**5 + 1)
    samples = order.samples_at(positions)
    assert len(np.unique(samples)) == len(samples)
    assert (order.positions_of(samples) == positions).all()


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(PinError, match="no sample"):
        Order((0, 0), OrderParameters())


def test_blocks_end_at_shard_ends() -> None:
    assert blocks_of([16, 17, 0, 1], 16) == 1 + 2 + 0 + 1


@pytest.mark.soak
@settings(max_examples=200)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=60).filter(any), PARAMETERS, st.integers(0, 10**9))
def test_large_selections_hold_every_sample_once(shards: list[int], parameters: OrderParameters, seed: int) -> None:
    order = Order(tuple(shards), parameters, seed).epoch(seed % 7)
    samples = order.samples_at(np.arange(sum(shards)))
    assert len(np.unique(samples)) == len(samples)
    assert (order.positions_of(samples) == np.arange(sum(shards))).all()
