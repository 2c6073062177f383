"""Windows of sound are where they should be, however the sound arrives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmfs.media.windows import Samples, WindowCutter, Windowing

RATE = 10


def cut(windowing: Windowing, pieces: list[tuple[int, Samples]]) -> dict[int, np.ndarray]:
    """The windows of some pieces, by index."""
    found: dict[int, np.ndarray] = {}

    def keep(index: int, samples: Samples) -> None:
        assert index not in found
        found[index] = samples.copy()

    cutter = WindowCutter(windowing, keep)
    for position, samples in pieces:
        cutter.add(position, samples)
    cutter.finish()
    assert cutter.count == len(found)
    assert list(found) == sorted(found)
    return found


def by_slicing(windowing: Windowing, sound: np.ndarray, heard: np.ndarray) -> dict[int, np.ndarray]:
    """The same from the whole sound at once, of which ``heard`` says which samples there are."""
    size, hop = windowing.samples(windowing.window_s), windowing.samples(windowing.hop_s or windowing.window_s)
    end = int(np.flatnonzero(heard)[-1]) + 1 if heard.any() else 0
    found: dict[int, np.ndarray] = {}
    told = 0
    for index in range(-(-end // hop)):
        part = slice(index * hop, min(index * hop + size, end))
        is_full = part.stop - part.start == size
        if not heard[part].any() or (not is_full and part.stop <= told):
            continue
        if is_full or part.stop - part.start >= windowing.samples(windowing.shortest_s) or not found:
            found[index] = sound[:, part]
            told = part.stop
        if part.stop == end:
            break
    return found


pieces_of_sound = st.lists(st.tuples(st.integers(-15, 60), st.integers(1, 40)), max_size=8)


@given(
    pieces=pieces_of_sound,
    size=st.integers(1, 30),
    hop=st.none() | st.integers(1, 50),
    shortest=st.integers(1, 30),
    channels=st.sampled_from([1, 2]),
)
def test_windows_are_the_slices_of_the_whole(
    pieces: list[tuple[int, int]], size: int, hop: int | None, shortest: int, channels: int
) -> None:
    windowing = Windowing(size / RATE, hop / RATE if hop else None, shortest / RATE, RATE, channels)
    sound = np.zeros((channels, 1000), np.float32)
    heard = np.zeros(1000, bool)
    given_pieces, end = [], 0
    for number, (gap, length) in enumerate(pieces):
        position = end + gap  # a negative gap is an overlap, or a beginning before the presentation's
        samples = np.full((channels, length), number + 1, np.float32) + np.arange(length, dtype=np.float32) / 100
        given_pieces.append((position, samples))
        first = max(end, position, 0)
        if position + length > first:
            sound[:, first : position + length] = samples[:, first - position :]
            heard[first : position + length] = True
            end = position + length
    found = cut(windowing, given_pieces)
    expected = by_slicing(windowing, sound, heard)
    assert found.keys() == expected.keys()
    for index, samples in expected.items():
        np.testing.assert_array_equal(found[index], samples)


def test_a_leap_of_centuries_costs_neither_time_nor_windows() -> None:
    one = np.ones((1, 5), np.float32)
    found = cut(Windowing(1.0, None, 0.1, RATE, 1), [(0, one), (10**14, one)])
    assert list(found) == [0, 10**13]
    assert found[0].tolist() == [[1.0] * 5 + [0.0] * 5]
    assert found[10**13].tolist() == [[1.0] * 5]


def test_a_short_rest_is_dropped_unless_it_is_all() -> None:
    windowing = Windowing(1.0, None, 0.5, RATE, 1)
    assert {k: w.shape[1] for k, w in cut(windowing, [(0, np.ones((1, 14), np.float32))]).items()} == {0: 10}
    assert {k: w.shape[1] for k, w in cut(windowing, [(0, np.ones((1, 15), np.float32))]).items()} == {0: 10, 1: 5}
    assert {k: w.shape[1] for k, w in cut(windowing, [(0, np.ones((1, 1), np.float32))]).items()} == {0: 1}
    assert cut(windowing, []) == {}
