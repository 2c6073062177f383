"""Sound files, and containers that hold nothing but sound, are measured as audio."""

from __future__ import annotations

import math
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mmfs.media.info import Reason, RefusedError
from mmfs.media.probe import Caps, probe_file, sample_file
from mmfs.media.sampling import Sampling

CAPS = Caps(image_pixels=1, video_side=8192)


def make_wav(path: Path, seconds: float = 1.5, rate: int = 16_000) -> Path:
    tone = (np.sin(np.arange(int(seconds * rate)) * 2 * math.pi * 440 / rate) * 9000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.tobytes())
    return path


def make_aac(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        for number in range(43):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, number * 1024, Fraction(1, 44_100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_wave_file_is_audio_with_its_rate_and_length(tmp_path: Path) -> None:
    info = probe_file(make_wav(tmp_path / "a.mp4"), CAPS)
    assert (info.kind, info.container, info.audio_codec) == ("audio", "wav", "pcm_s16le")
    assert (info.sample_rate_hz, info.channels, info.width, info.frame_count) == (16_000, 1, None, None)
    assert info.duration_s == pytest.approx(1.5, abs=0.01)


def test_an_mp4_with_sound_only_is_audio_and_has_no_frames(tmp_path: Path) -> None:
    path = make_aac(tmp_path / "a.mp4")
    info = probe_file(path, CAPS)
    assert (info.kind, info.audio_codec, info.video_codec, info.channels) == ("audio", "aac", None, 2)
    assert info.duration_s == pytest.approx(1.0, abs=0.05)
    frames: list[object] = []
    assert sample_file(path, info.sha256, Sampling("all", 1.0, 256, 90), CAPS, frames.append) == 0
    assert frames == []


def test_sound_that_does_not_decode_is_corrupt(tmp_path: Path) -> None:
    data = make_aac(tmp_path / "a.aac").read_bytes()
    broken = b"".join(data[at : at + 7] + b"\xff" * 20 for at in range(0, 200, 40))
    (tmp_path / "b.aac").write_bytes(data[:2] + broken[2:])
    with pytest.raises(RefusedError) as refused:
        probe_file(tmp_path / "b.aac", CAPS)
    assert refused.value.reason in (Reason.CORRUPT, Reason.NO_PICTURES)
