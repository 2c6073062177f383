"""Codecs of packs: what comes back is what went in, within stated bounds, and damage never passes for data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mmfs.codecs import decode_depth16, decode_jpeg, encode_depth16, encode_jpeg
from mmfs.errors import IntegrityError

DEPTHS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.floats(0, 1e6, width=32, allow_subnormal=False),
)


@given(depth=DEPTHS)
def test_depth_comes_back_within_half_a_thousandth_of_itself_or_of_the_smallest_step(depth: np.ndarray) -> None:
    found = decode_depth16(encode_depth16(depth))
    assert found.shape == depth.shape
    assert found.dtype == np.float32
    step = max(1.0, float(depth.max()) / 1024) * 2.0**-24
    assert (np.abs(found - depth) <= np.maximum(depth * 2.0**-11, step) * 1.01).all()


def test_depth_of_a_scene_is_smaller_than_float16() -> None:
    ramp = np.linspace(1, 20, 256 * 256, dtype=np.float32).reshape(256, 256)
    assert len(encode_depth16(ramp)) < ramp.size


@pytest.mark.parametrize("bad", [np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.zeros(4), np.zeros((1, 2, 2))])
def test_depth_that_is_not_finite_or_not_a_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        encode_depth16(bad.astype(np.float32))


@given(data=st.binary(max_size=64))
def test_bytes_that_are_no_depth_map_are_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a depth map"):
        decode_depth16(data)


@given(cut=st.integers(0, 200))
def test_a_cut_depth_map_is_an_integrity_error(cut: int) -> None:
    data = encode_depth16(np.random.default_rng(0).random((16, 16), np.float32))
    with pytest.raises(IntegrityError):
        decode_depth16(data[: min(cut, len(data) - 1)])


def test_a_jpeg_comes_back_with_its_size_and_nearly_its_colours() -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    rgb = np.stack([rows * 4, columns * 3, rows + columns], axis=-1).astype(np.uint8)
    data = encode_jpeg(rgb)
    found = decode_jpeg(memoryview(data))
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - rgb).mean() < 3
    assert encode_jpeg(rgb) == data, "equal pictures make equal bytes"


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xd9"])
def test_bytes_that_are_no_jpeg_are_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a JPEG"):
        decode_jpeg(data)
