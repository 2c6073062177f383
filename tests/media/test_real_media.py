"""Real photos, videos and sounds come through with the size, length, codec and times their list says.

``MMFS_SAMPLE_MEDIA`` names a folder with ``captions.csv`` (columns file, kind, width, height, duration_s,
video_codec, audio_codec, sha256; sizes as stored, before EXIF rotation) and the files it lists.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import av
import numpy as np
import pytest

from mmfs.codecs import decode_flac, decode_jpeg
from mmfs.media import Failure, FrameJob, Guard, MediaInfo, Probed, ProbeJob, Sampled, SoundJob, Windowed
from mmfs.media.downmix import downmix
from mmfs.media.sampling import at_rate
from mmfs.settings import AudioConfig, FramesConfig

ROOT = Path(os.environ.get("MMFS_SAMPLE_MEDIA", ""))
pytestmark = pytest.mark.skipif(
    "MMFS_SAMPLE_MEDIA" not in os.environ, reason="MMFS_SAMPLE_MEDIA names no folder of sample media"
)


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, str]]:
    """Rows of the list, by file."""
    with (ROOT / "captions.csv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def infos(guard: Guard, listed: dict[str, dict[str, str]]) -> dict[str, MediaInfo]:
    """What probing says of each file; none may be refused."""
    results = list(guard.probe(ProbeJob(name, ROOT / name) for name in listed))
    assert [result for result in results if isinstance(result, Failure)] == []
    return {result.id: result.info for result in results if isinstance(result, Probed)}


@pytest.fixture(scope="module")
def samples(guard: Guard, infos: dict[str, MediaInfo]) -> dict[str, Sampled]:
    """One frame a second of each file; none may be refused."""
    jobs = (FrameJob(name, ROOT / name, info.sha256, info.duration_s, FramesConfig()) for name, info in infos.items())
    results = list(guard.frames(jobs))
    assert [result for result in results if isinstance(result, Failure)] == []
    return {result.id: result for result in results if isinstance(result, Sampled)}


def test_no_file_is_lost(listed: dict[str, dict[str, str]], infos: dict[str, MediaInfo]) -> None:
    assert infos.keys() == listed.keys()
    assert {name: info.kind for name, info in infos.items()} == {name: row["kind"] for name, row in listed.items()}


def test_hashes_and_codecs_agree(listed: dict[str, dict[str, str]], infos: dict[str, MediaInfo]) -> None:
    for name, row in listed.items():
        info = infos[name]
        assert (info.sha256, info.size_bytes) == (row["sha256"], int(row["bytes"])), name
        assert (info.video_codec or "", info.audio_codec or "") == (row["video_codec"], row["audio_codec"]), name


def test_sizes_agree_after_rotation(listed: dict[str, dict[str, str]], infos: dict[str, MediaInfo]) -> None:
    for name, row in listed.items():
        info = infos[name]
        if info.kind == "audio":
            continue
        stored = (int(row["width"]), int(row["height"]))
        assert (info.width, info.height) == (stored[::-1] if info.rotation_deg in (90, 270) else stored), name
    assert sorted(name for name, info in infos.items() if info.rotation_deg) == sorted(
        name for name in listed if "exif6" in name
    )


def test_lengths_agree(listed: dict[str, dict[str, str]], infos: dict[str, MediaInfo]) -> None:
    for name, row in listed.items():
        if row["duration_s"]:
            assert infos[name].duration_s == pytest.approx(float(row["duration_s"]), abs=0.06), name


def test_frames_are_those_that_a_full_decode_shows_at_each_second(
    infos: dict[str, MediaInfo], samples: dict[str, Sampled]
) -> None:
    for name, info in infos.items():
        if info.duration_s is None or info.kind != "video" or info.duration_s > 12:
            continue  # the long ones only take long
        with av.open(str(ROOT / name)) as container:
            stream = container.streams.video[0]
            decoded = [frame.pts for frame in container.decode(stream)]
            start = max((container.start_time or 0) / 1e6, 0.0)
            base = stream.time_base
        assert info.frame_count == len(decoded), name
        expected = at_rate(decoded, end=decoded[-1] + 1, time_base=base, fps=1.0)
        frames = [frame for frame in samples[name].frames if frame.frame_index <= expected[-1]]
        assert [frame.frame_index for frame in frames] == expected, name
        times = [float(decoded[ordinal] * base) - start for ordinal in expected]
        assert [frame.time_s for frame in frames] == pytest.approx(times, abs=1e-5), name


def test_frames_are_whole_upright_and_undamaged(infos: dict[str, MediaInfo], samples: dict[str, Sampled]) -> None:
    for name, info in infos.items():
        assert samples[name].salvaged == 0, name
        if info.kind == "image":
            assert [frame.frame_index for frame in samples[name].frames] == [0], name
        for frame in samples[name].frames:
            assert decode_jpeg(frame.jpeg).shape == (frame.height, frame.width, 3), name
            assert info.width is not None
            assert info.height is not None
            assert min(frame.width, frame.height) == min(256, info.width, info.height), name
            assert frame.width / frame.height == pytest.approx(info.width / info.height, rel=0.01), name


@pytest.fixture(scope="module")
def sounds(guard: Guard, infos: dict[str, MediaInfo]) -> dict[str, Windowed]:
    """Windows of each file's sound; none may be refused."""
    config = AudioConfig(shortest_s=0.0)
    jobs = (SoundJob(name, ROOT / name, info.sha256, info.duration_s, config) for name, info in infos.items())
    results = list(guard.sound(jobs))
    assert [result for result in results if isinstance(result, Failure)] == []
    return {result.id: result for result in results if isinstance(result, Windowed)}


def test_whatever_has_sound_has_windows_for_all_of_it(infos: dict[str, MediaInfo], sounds: dict[str, Windowed]) -> None:
    assert sum(bool(heard.windows) for heard in sounds.values()) > 10
    for name, info in infos.items():
        windows = sounds[name].windows
        assert bool(windows) == (info.audio_codec is not None), name
        assert sounds[name].salvaged == 0, name
        if windows and info.kind == "audio":
            assert windows[-1].end_s == pytest.approx(info.duration_s, abs=0.05), name
        assert [window.window_index for window in windows] == list(range(len(windows))), name


def test_windows_hold_what_a_full_decode_gives(infos: dict[str, MediaInfo], sounds: dict[str, Windowed]) -> None:
    for name, info in infos.items():
        if info.audio_codec is None:
            continue
        expected, first_s = fully_decoded(ROOT / name)
        heard = np.concatenate([decode_flac(window.flac)[0] for window in sounds[name].windows])
        shift = round(first_s * 16_000)
        expected = np.pad(expected, (max(shift, 0), 0))[max(-shift, 0) :]
        assert abs(len(expected) - len(heard)) < 0.1 * 16_000, name
        inner = slice(1000, min(len(expected), len(heard)) - 1000)
        np.testing.assert_allclose(heard[inner], expected[inner], atol=1e-3, err_msg=name)


def fully_decoded(path: Path) -> tuple[np.ndarray, float]:
    """The sound that players play, mixed to one channel, at 16 kHz, and when it begins in the presentation."""
    with av.open(str(path)) as container:
        stream = min(
            container.streams.audio, key=lambda s: (not s.disposition & av.stream.Disposition.default, s.index)
        )
        packed = av.AudioResampler("flt")
        frames = [one for frame in container.decode(stream) for one in packed.resample(frame)]
        first_s = float(frames[0].pts * frames[0].time_base) - max((container.start_time or 0) / 1e6, 0.0)
    names = [channel.name for channel in frames[0].layout.channels]
    sound = np.concatenate([frame.to_ndarray().reshape(frame.samples, -1) for frame in frames]) @ downmix(names, 1)[0]
    whole = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
    whole.sample_rate = frames[0].sample_rate
    resampler = av.AudioResampler("fltp", "mono", 16_000)
    parts = [part.to_ndarray()[0] for given in (whole, None) for part in resampler.resample(given)]
    return np.concatenate(parts).clip(-1, 1), first_s
