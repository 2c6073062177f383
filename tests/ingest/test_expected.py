"""Rows that will be, against rows that are."""

from __future__ import annotations

import doctest
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmfs.ingest.expected
from mmfs.ingest.expected import expected_rows, frame_indices, kind_by_name, placeholder, standing, window_indices
from mmfs.media.sampling import Sampling, choose
from mmfs.media.windows import WindowCutter, Windowing
from mmfs.settings import AudioConfig, FramesConfig


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.ingest.expected).failed == 0


@given(st.integers(1, 300), st.sampled_from([10, 24, 25, 30]), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_frames_of_a_video_with_an_even_rate_are_expected_where_they_are_sampled(
    frames: int, fps: int, wanted: float
) -> None:
    sampled = choose(Sampling("fps", wanted, 256, 90), list(range(frames)), [], end=frames, time_base=Fraction(1, fps))
    media = {"kind": "video", "duration_s": frames / fps, "fps": float(fps), "frame_count": frames}
    expected = frame_indices(media, FramesConfig(fps=wanted))
    assert len(expected) == len(sampled)
    assert np.abs(np.array(expected) - np.array(sampled)).max() <= 1


def test_all_frames_and_pictures_are_counted_and_what_is_unknown_gives_one() -> None:
    video = {"kind": "video", "duration_s": 2.0, "fps": 10.0, "frame_count": None}
    assert frame_indices(video, FramesConfig(mode="all")) == list(range(20))
    assert frame_indices({**video, "duration_s": 9.0}, FramesConfig(mode="keyframes")) == [0, 40, 80]
    unknown = {"kind": "video", "duration_s": None, "fps": None, "frame_count": None}
    assert frame_indices(unknown, FramesConfig()) == [0]
    assert frame_indices({**unknown, "kind": "image"}, FramesConfig(mode="all")) == [0]


@given(
    st.floats(0.05, 120),
    st.sampled_from([1.0, 5.0, 10.0]),
    st.sampled_from([None, 0.5, 2.0]),
    st.sampled_from([0.0, 1.0]),
)
def test_windows_are_expected_as_they_are_cut(
    duration_s: float, window_s: float, hop: float | None, shortest_s: float
) -> None:
    config = AudioConfig(window_s=window_s, hop_s=hop and hop * window_s, shortest_s=shortest_s, sample_rate_hz=4000)
    cut: list[int] = []
    cutter = WindowCutter(
        Windowing(config.window_s, config.hop_s, config.shortest_s, config.sample_rate_hz, 1),
        lambda index, samples: cut.append(index),
    )
    samples = np.ones((1, round(duration_s * 4000)), np.float32)
    cutter.add(0, samples)
    cutter.finish()
    assert window_indices(samples.shape[1] / 4000, config) == cut


def test_what_a_file_probably_is_follows_from_its_name() -> None:
    assert [kind_by_name(f"s3://b/{name}") for name in ("a.JPG", "b.mkv", "c.flac", "d.txt", "e")] == [
        "image",
        "video",
        "audio",
        "text",
        "video",
    ]
    assert placeholder("a") != placeholder("b")
    assert len(placeholder("a")) == 32


def test_rows_are_compared_by_key_and_fingerprint() -> None:
    have = [("a", 0, "f1"), ("a", 1, "f0"), ("b", 0, "f1")]
    will = [("a", 0, "f1"), ("a", 1, "f1"), ("c", 0, "f1"), ("c", 1, "f1")]
    status = standing("frames", "0", have, will, cause="config", failed=1, guessed=frozenset("c"))
    assert (status.rows, status.fresh, status.stale, status.missing, status.gone) == (4, 1, 1, 2, 1)
    assert status.causes == {"new": 2, "config": 1, "failed": 1}
    assert (status.to_compute, status.estimated) == (3, 2)


@pytest.mark.parametrize("table", ["frames", "captions", "audio_windows"])
def test_expected_rows_are_sorted_by_key_and_may_be_none(table: str) -> None:
    rows = expected_rows(table, [("b", 0, "f"), ("a", 1, "f"), ("a", 0, "f")], guessed=frozenset()).rows
    assert list(zip(*(column.to_pylist() for column in rows.columns[:2]), strict=True)) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]
    assert expected_rows(table, [], guessed=frozenset()).rows.num_rows == 0
