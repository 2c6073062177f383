"""Channels become one or two without clipping, each on its side."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.media.downmix import downmix

LAYOUTS = ("mono", "stereo", "2.1", "3.0", "4.0", "quad", "5.1", "5.1(side)", "6.1", "7.1", "hexadecagonal", "22.2")


def names_of(layout: str) -> list[str]:
    return [channel.name for channel in av.AudioLayout(layout).channels]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2])
def test_full_scale_on_all_channels_does_not_clip(layout: str, channels: int) -> None:
    matrix = downmix(names_of(layout), channels)
    assert matrix.shape == (channels, len(names_of(layout)))
    assert matrix.min() >= 0
    assert matrix.sum(axis=1).max() == pytest.approx(1.0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_left_and_right_mirror_each_other(layout: str) -> None:
    names = names_of(layout)
    left, right = downmix(names, 2)
    mirrored = [name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name[-1] in "LR" else name for name in names]
    for name, other in zip(names, mirrored, strict=True):
        if other in names and not name.startswith(("FLC", "FRC")):
            assert left[names.index(name)] == right[names.index(other)]
    np.testing.assert_allclose(downmix(names, 1)[0] * (left + right).sum(), left + right, rtol=1e-6)


def test_surround_is_weighed_as_players_do() -> None:
    left = downmix(names_of("5.1"), 2)[0]
    np.testing.assert_allclose(left / left[0], [1, 0, 0.7071, 0, 0.7071, 0], atol=1e-4)


@given(count=st.integers(1, 64), channels=st.sampled_from([1, 2]))
def test_channels_without_names_are_all_heard(count: int, channels: int) -> None:
    matrix = downmix(["NONE"] * count, channels)
    assert matrix.sum(axis=1).max() == pytest.approx(1.0, rel=1e-5)
    if count == 2:
        assert matrix.tolist() == [[0.5, 0.5]] if channels == 1 else [[1, 0], [0, 1]]
    elif count != 6:
        assert matrix.min() > 0


def test_a_low_frequency_channel_alone_is_heard() -> None:
    assert downmix(["LFE"], 1).tolist() == [[1.0]]
