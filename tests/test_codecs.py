"""Codecs of packs: what comes back is what went in, within stated bounds, and damage never passes for data."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mmfs.codecs import (
    decode_array16,
    decode_depth16,
    decode_flac,
    decode_jpeg,
    encode_array16,
    encode_depth16,
    encode_flac,
    encode_jpeg,
)
from mmfs.errors import IntegrityError, MissingExtraError

ARRAYS = arrays(
    np.float32,
    array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
)
SOUNDS = arrays(
    np.int16, st.tuples(st.integers(1, 8), st.integers(1, 300)), elements=st.integers(-(1 << 15), (1 << 15) - 1)
)
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


def test_depth_written_by_the_first_version_is_read() -> None:
    old = bytes.fromhex("4d443136030002000080bb3f28b52ffd200c61000076767000c700353d40644400")
    found = decode_depth16(old)
    np.testing.assert_allclose(found, [[0.5, 2.0, 3.25], [1500.0, 7.0, 0.0]], rtol=2**-11)
    assert encode_depth16(np.array([[0.5, 2.0, 3.25], [1500.0, 7.0, 0.0]], np.float32)) == old


@given(array=ARRAYS)
def test_an_array_comes_back_within_half_a_thousandth_down_to_a_tiny_share_of_its_largest(array: np.ndarray) -> None:
    found = decode_array16(encode_array16(array))
    assert (found.shape, found.dtype) == (array.shape, np.float32)
    largest = float(np.abs(array).max(initial=0.0))
    assert (np.abs(found - array) <= np.maximum(np.abs(array) * 2.0**-11, largest * 2.0**-38) * 1.01).all()


def test_halves_come_back_exactly() -> None:
    halves = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(decode_array16(encode_array16(halves)), halves)


@pytest.mark.parametrize("bad", [np.full((2, 2), np.nan), np.full(3, -np.inf), np.float32(1), np.zeros((1,) * 5)])
def test_an_array_that_is_not_finite_or_has_too_many_axes_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one to four axes"):
        encode_array16(np.asarray(bad, np.float32))


@given(data=st.binary(max_size=64))
def test_bytes_that_are_no_array_are_an_integrity_error(data: bytes) -> None:
    for bytes_ in (data, b"MA16" + data):
        with pytest.raises(IntegrityError, match="not an array"):
            decode_array16(bytes_)


@given(cut=st.integers(0, 400))
def test_a_cut_array_is_an_integrity_error(cut: int) -> None:
    data = encode_array16(np.random.default_rng(0).random((2, 5, 16), np.float32))
    with pytest.raises(IntegrityError):
        decode_array16(data[: min(cut, len(data) - 1)])


@given(whole=SOUNDS, rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000, 96_000]))
def test_sound_of_16_bits_comes_back_exactly(whole: np.ndarray, rate: int) -> None:
    sound = whole.astype(np.float32) / 32768
    data = encode_flac(sound, rate)
    found = decode_flac(memoryview(data))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sound)
    assert encode_flac(sound, rate) == data, "equal sounds make equal bytes"


def test_sound_is_rounded_to_16_bits_and_clipped_at_full_scale() -> None:
    sound = np.array([[0.1, 1.0, 1.5, -1.0, -7.0, 1e-6]], np.float32)
    np.testing.assert_array_equal(
        decode_flac(encode_flac(sound, 8000)) * 32768, [[3277, 32767, 32767, -32768, -32768, 0]]
    )


@pytest.mark.parametrize("bad", [np.zeros((1, 0)), np.zeros((9, 2)), np.zeros(5), np.full((1, 3), np.nan)])
def test_sound_that_is_empty_or_no_sound_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at most eight channels"):
        encode_flac(bad.astype(np.float32), 16_000)


@given(data=st.binary(max_size=64))
def test_bytes_that_are_no_sound_are_an_integrity_error(data: bytes) -> None:
    for bytes_ in (data, b"fLaC" + data):
        with pytest.raises(IntegrityError, match="not sound"):
            decode_flac(bytes_)


@given(at=st.integers(0, 1 << 30), bit=st.integers(0, 7), cut=st.booleans())
def test_damaged_sound_is_an_integrity_error_or_the_same_sound(at: int, bit: int, cut: bool) -> None:
    sound = (np.random.default_rng(0).integers(-9000, 9000, (2, 5000)) / 32768).astype(np.float32)
    data = encode_flac(sound, 16_000)
    at %= len(data)
    damaged = data[:at] if cut else data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    try:
        found = decode_flac(damaged)
    except IntegrityError:
        return
    np.testing.assert_array_equal(found, sound)


def test_without_soundfile_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"mmfs\[loader\]"):
        decode_flac(b"fLaC")


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
