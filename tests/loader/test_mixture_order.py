"""The sequence of draws of a mixture: shares in every prefix, nothing twice, and back from draws to positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.loader.mixture_order import RUN, MixtureOrder, pattern

WEIGHTS = st.lists(st.integers(1, 60), min_size=1, max_size=9).map(tuple)


def counts_of(sources: np.ndarray, kinds: int) -> np.ndarray:
    """How often each source came up to and with each place, int64 [places, kinds]."""
    return np.cumsum(sources[:, None] == np.arange(kinds), axis=0)


def shares_of(places: int, weights: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, places + 1)[:, None] * np.array(weights) / sum(weights)


@settings(max_examples=60)
@given(WEIGHTS)
def test_every_prefix_of_the_pattern_is_within_one_draw_of_the_shares(weights: tuple[int, ...]) -> None:
    found = pattern(weights)
    assert np.bincount(found, minlength=len(weights)).tolist() == list(weights)
    assert np.abs(counts_of(found, len(weights)) - shares_of(len(found), weights)).max() < 1


@settings(max_examples=60)
@given(WEIGHTS, st.integers(0, 2**40), st.booleans())
def test_every_prefix_of_the_sequence_is_within_a_run_of_the_shares(
    weights: tuple[int, ...], seed: int, shuffle: bool
) -> None:
    sources, _ = MixtureOrder(weights, seed, shuffle).draws_at(np.arange(1000))
    assert np.abs(counts_of(sources, len(weights)) - shares_of(1000, weights)).max() <= (RUN if shuffle else 1)


@settings(max_examples=60)
@given(WEIGHTS, st.integers(0, 2**40), st.booleans(), st.integers(0, 2**60))
def test_draws_and_positions_are_inverse_anywhere(
    weights: tuple[int, ...], seed: int, shuffle: bool, start: int
) -> None:
    order = MixtureOrder(weights, seed, shuffle)
    positions = start + np.arange(500)
    sources, draws = order.draws_at(positions)
    for source in np.unique(sources).tolist():
        mine = sources == source
        assert order.positions_of(source, draws[mine]).tolist() == positions[mine].tolist()


@settings(max_examples=60)
@given(WEIGHTS, st.integers(0, 2**40), st.integers(1, 20))
def test_whole_runs_hold_the_first_draws_of_each_source_once(weights: tuple[int, ...], seed: int, runs: int) -> None:
    order = MixtureOrder(weights, seed)
    sources, draws = order.draws_at(np.arange(runs * RUN))
    counts = order.draws_before(runs)
    assert counts.sum() == runs * RUN
    for source, count in enumerate(counts.tolist()):
        assert sorted(draws[sources == source].tolist()) == list(range(count))


@pytest.mark.parametrize("world_size", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("weights", [(3, 1), (1, 1), (2, 1, 1), (63, 1), (5, 3, 8)])
def test_each_rank_sees_about_the_weights(weights: tuple[int, ...], world_size: int) -> None:
    order, count = MixtureOrder(weights, seed=11), 2000
    for rank in range(world_size):
        sources, _ = order.draws_at(rank + world_size * np.arange(count))
        shares = np.bincount(sources, minlength=len(weights)) / count
        # A random choice would be within five of these, but for one in a million.
        deviation = np.sqrt(np.array(weights) / sum(weights) * (1 - np.array(weights) / sum(weights)) / count)
        assert (np.abs(shares - np.array(weights) / sum(weights)) <= 5 * deviation).all()


def test_another_seed_shuffles_runs_otherwise() -> None:
    one, other = (MixtureOrder((3, 1), seed).draws_at(np.arange(256))[0].tolist() for seed in (1, 2))
    assert one != other
    assert one[:RUN] != one[RUN : 2 * RUN]


def test_without_shuffling_each_source_is_drawn_from_in_order() -> None:
    sources, draws = MixtureOrder((5, 2), shuffle=False).draws_at(np.arange(70))
    assert draws[sources == 0].tolist() == list(range(50))
    assert draws[sources == 1].tolist() == list(range(20))
