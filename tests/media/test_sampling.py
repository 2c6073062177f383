"""Frames are chosen by presentation time, exactly and in time linear in the number of frames."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.media.sampling import Sampling, at_rate, choose, stored_size

TENTHS = Fraction(1, 10)
timelines = st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=60, unique=True).map(sorted)
rates = st.sampled_from([0.1, 0.5, 1.0, 2.0, 23.976, 29.97, 60.0])


def on_screen(pts: list[int], moment: Fraction) -> int:
    """The frame on screen at a moment given in units of time: the last whose time has come."""
    return max(ordinal for ordinal, time in enumerate(pts) if time <= moment)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(-50, 50), st.sampled_from([0.1, 1.0, 2.5, 9.97])
)
def test_the_frames_kept_are_those_on_screen_at_the_sampling_moments(steps: list[int], first: int, fps: float) -> None:
    pts = [first + sum(steps[:count]) for count in range(len(steps))]
    end = pts[-1] + steps[-1]
    step = 10 / Fraction(str(fps))
    moments = [pts[0] + number * step for number in range(math.ceil((end - pts[0]) / step))]
    expected = sorted({on_screen(pts, moment) for moment in moments})
    assert at_rate(pts, end=end, time_base=TENTHS, fps=fps) == expected


@given(timelines, rates)
def test_choices_ascend_begin_with_the_first_frame_and_never_repeat(pts: list[int], fps: float) -> None:
    kept = at_rate(pts, end=pts[-1] + 1, time_base=Fraction(1, 90000), fps=fps)
    assert kept[0] == 0
    assert all(a < b for a, b in pairwise(kept))


@given(timelines, st.integers(-(10**9), 10**9), rates)
def test_shifting_a_clip_in_time_keeps_the_same_frames(pts: list[int], shift: int, fps: float) -> None:
    base = Fraction(1, 1000)
    moved = [time + shift for time in pts]
    assert at_rate(pts, end=pts[-1] + 40, time_base=base, fps=fps) == at_rate(
        moved, end=moved[-1] + 40, time_base=base, fps=fps
    )


def test_a_variable_frame_rate_is_followed_by_time_and_not_by_count() -> None:
    assert at_rate([0, 1, 2, 30, 31, 32], end=33, time_base=TENTHS, fps=1.0) == [0, 2, 3]


def test_a_rate_above_the_videos_keeps_every_frame_once() -> None:
    assert at_rate([0, 1, 2, 3], end=4, time_base=TENTHS, fps=240.0) == [0, 1, 2, 3]


def test_a_gap_of_centuries_costs_nothing() -> None:
    assert at_rate([0, 10**15], end=10**15 + 1, time_base=TENTHS, fps=60.0) == [0, 1]


def test_no_frames_give_no_choice() -> None:
    assert at_rate([], end=0, time_base=TENTHS, fps=1.0) == []


@given(timelines, st.data())
def test_keyframes_are_a_part_of_all_frames_under_the_same_ordinals(pts: list[int], data: st.DataObject) -> None:
    keys = data.draw(st.sets(st.sampled_from(pts)))

    def chosen(mode: str) -> list[int]:
        sampling = Sampling(mode, 1.0, 256, 90)  # type: ignore[arg-type]
        return choose(sampling, pts, keys, end=pts[-1] + 1, time_base=TENTHS)

    assert chosen("all") == list(range(len(pts)))
    assert [pts[ordinal] for ordinal in chosen("keyframes")] == sorted(keys)


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(16, 1024))
def test_stored_sizes_are_never_larger_than_the_source_nor_than_jpeg_allows(width: int, height: int, side: int) -> None:
    stored = stored_size(width, height, side)
    assert 1 <= stored[0] <= min(width, 65_500)
    assert 1 <= stored[1] <= min(height, 65_500)
    if min(width, height) >= side and max(width, height) <= 65_500:
        assert min(stored) == side
