"""Small sounds made on the spot, as files of many kinds."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_flac
from mmfs.media import SoundWindow

Sound = npt.NDArray[np.float32]


def tone(seconds: float, rate: int, *, hz: float = 440.0, channels: int = 1, level: float = 0.5) -> Sound:
    """A sine, float32 [channels, T]."""
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[None].astype(np.float32), channels, axis=0)


def wav_bytes(sound: Sound, rate: int) -> bytes:
    """A wave file of 16 bits without a word on what its channels are."""
    channels, data = len(sound), np.rint(sound.T * 32768).clip(-32768, 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def float_wav_bytes(sound: Sound, rate: int) -> bytes:
    """A wave file of 32-bit floats, whatever they are."""
    channels, data = len(sound), sound.T.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def write_wav(path: Path, sound: Sound, rate: int) -> Path:
    """`wav_bytes` as a file."""
    path.write_bytes(wav_bytes(sound, rate))
    return path


def encode_sound(
    path: Path,
    sound: Sound,
    rate: int,
    codec: str,
    *,
    layout: str = "mono",
    starts: dict[int, float] | None = None,
    video_s: float = 0.0,
) -> Path:
    """A compressed sound, in the container that the path's suffix names.

    Args:
        starts: Seconds by sample: from that sample on, the sound is said to be so much later.
        video_s: Length of a video stream beside it.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        video = container.add_stream("libx264", rate=10) if video_s else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for _ in range(round(video_s * 10)):
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
            container.mux(video.encode())
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
        for at in range(0, sound.shape[1], size):
            chunk = np.ascontiguousarray(sound[:, at : at + size])
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
            later = max(((first, start) for first, start in (starts or {}).items() if first <= at), default=(0, 0.0))[1]
            frame.sample_rate = rate
            for ready in resampler.resample(frame):
                ready.time_base = Fraction(1, rate)
                ready.pts = at + round(later * rate)
                container.mux(stream.encode(ready))
        container.mux(stream.encode())
    return path


def joined(windows: list[SoundWindow]) -> Sound:
    """Windows without overlap put together, float32 [C, T]."""
    return np.concatenate([decode_flac(window.flac) for window in windows], axis=1)
