"""Every EXIF orientation and display matrix shows the same upright picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mmfs.media.orientation import UPRIGHT, Orientation, of_exif, of_matrix
from tests.media.makers import corners, quadrants


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientations_agree_with_pillow(value: int) -> None:
    stored = Image.fromarray(quadrants(6, 4))
    stored.getexif()[0x0112] = value
    orientation = of_exif(value)
    assert np.array_equal(orientation.apply(np.asarray(stored)), np.asarray(ImageOps.exif_transpose(stored)))
    assert orientation.size(6, 4) == ImageOps.exif_transpose(stored).size


@pytest.mark.parametrize("value", [0, 9, None, "6", 6.0, float("nan")])
def test_a_tag_that_means_nothing_leaves_the_picture_as_it_is(value: object) -> None:
    assert of_exif(value) is UPRIGHT


@given(st.sampled_from([0, 90, 180, 270]), st.booleans(), st.floats(-40, 40), st.floats(0.1, 10))
def test_a_matrix_of_any_scale_and_slight_tilt_is_the_nearest_quarter_turn(
    rotation: int, mirrored: bool, tilt: float, scale: float
) -> None:
    angle = math.radians(rotation + tilt)
    a, b, c, d = (
        round(v * scale * 65536) for v in (math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle))
    )
    if mirrored:
        a, b = -a, -b
    assert of_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]) == Orientation(rotation, mirrored)


def test_a_matrix_of_zeros_shows_the_picture_as_it_is() -> None:
    assert of_matrix([0] * 9) == UPRIGHT


def test_a_quarter_turn_is_clockwise() -> None:
    assert corners(Orientation(90).apply(quadrants(8, 8))) == ["blue", "red", "white", "green"]
