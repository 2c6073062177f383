"""Contact sheets are small and show every picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.codecs import decode_jpeg
from mmfs.media.contact_sheet import contact_sheet, depth_colours, waveform

SIZES = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=14)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SIZES, st.integers(0, 100))
def test_any_pictures_make_a_sheet_below_the_limit(sizes: list[tuple[int, int]], seed: int) -> None:
    draw = np.random.default_rng(seed)
    sheet = contact_sheet([draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes], max_bytes=34_000)
    assert len(sheet) <= 34_000
    height, width, _ = decode_jpeg(sheet).shape
    assert height >= 8
    assert width >= 8


def test_pictures_stand_side_by_side_in_their_order() -> None:
    red, blue = np.zeros((2, 40, 60, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = decode_jpeg(contact_sheet([red, blue], tile=60)).astype(int)
    middle = sheet.shape[0] // 2
    assert sheet[middle, 34, 0] > 200 > 60 > sheet[middle, 34, 2]
    assert sheet[middle, 98, 2] > 200 > 60 > sheet[middle, 98, 0]


def test_depth_runs_from_dark_to_bright() -> None:
    colours = depth_colours(np.linspace(1, 9, 64, dtype=np.float32).reshape(8, 8)).astype(int)
    brightness = colours.sum(axis=-1).ravel()
    assert brightness[0] == brightness.min()
    assert brightness[-1] == brightness.max()


def test_flat_depth_is_one_colour() -> None:
    assert np.unique(depth_colours(np.full((4, 4), 3.0, np.float32)).reshape(-1, 3), axis=0).shape[0] == 1


@given(st.integers(1, 2), st.integers(1, 5000), st.integers(0, 100))
def test_a_waveform_spans_from_the_lowest_to_the_highest_sample(channels: int, samples: int, seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, (channels, samples)).astype(np.float32)
    drawn = waveform(sound, side=64).max(2) > 100
    assert drawn.shape == (64, 64)
    assert drawn.any(0).all(), "there is something at every time"
    rows = np.flatnonzero(drawn.any(1))
    assert 1 - 2 * rows[[0, -1]] / 63 == pytest.approx([sound.max(), sound.min()], abs=0.05)


def test_silence_is_a_line_in_the_middle() -> None:
    drawn = waveform(np.zeros((1, 1000), np.float32)).max(2) > 100
    assert set(np.flatnonzero(drawn.any(1)).tolist()) <= {55, 56}
    assert drawn.any(0).all()
