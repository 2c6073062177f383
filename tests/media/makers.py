"""Small media files made on the spot, and edits that make them odd or hostile."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]


def quadrants(width: int, height: int) -> Rgb:
    """Red, green, blue and white quarters, from the top left in reading order: shows every turn and flip."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (255, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 255, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 255)
    picture[height // 2 :, width // 2 :] = (255, 255, 255)
    return picture


def corners(rgb: Rgb) -> list[str]:
    """Names of the colours of the four quarters in reading order."""
    height, width = rgb.shape[:2]
    points = [(height // 4, width // 4), (height // 4, -width // 4), (-height // 4, width // 4)]
    points.append((-height // 4, -width // 4))
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    return [names.get(tuple(int(v > 128) for v in rgb[point]), str(rgb[point])) for point in points]


def image_bytes(picture: Image.Image | Rgb, form: str, **options: Any) -> bytes:
    """A picture in a file format of Pillow."""
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Rgb:
    """A picture that does not compress, so that damage hits pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def moving(width: int, height: int) -> Callable[[int], Rgb]:
    """Frames whose brightness tells their number: frame n is of grey 8 n + 4, modulo 256, in the left half."""

    def frame(number: int) -> Rgb:
        picture = np.roll(noise(width, height), number, axis=1) // 4
        picture[:, : width // 2] = (8 * number + 4) % 256
        return picture

    return frame


def number_of(rgb: Rgb) -> int:
    """Which of the frames of `moving` (of the first 32) this is."""
    return round((float(rgb[:, : rgb.shape[1] // 4].mean()) - 4) / 8)


def make_video(
    path: Path,
    frames: int = 30,
    *,
    size: tuple[int, int] = (64, 48),
    fps: int | Fraction = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 10,
    b_frames: int = 2,
    times: Sequence[int] | None = None,
    picture: Callable[[int], Rgb] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio: bool = False,
    color: dict[str, int] | None = None,
) -> Path:
    """A clip. ``times`` are presentation times in units of 1/fps, by default 0, 1, 2, ..."""
    picture = picture or moving(*size)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        sound = container.add_stream("aac", rate=44100) if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts = times[number] if times else number
            frame.time_base = 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            for number in range(round(44100 * frames / fps / 1024)):
                samples = np.zeros((2, 1024), np.float32)
                chunk = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
                chunk.sample_rate, chunk.pts, chunk.time_base = 44100, number * 1024, Fraction(1, 44100)
                container.mux(sound.encode(chunk))
            container.mux(sound.encode())
    return path


def turn(mp4: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An mp4 whose first track is shown through this display matrix (a, b, c, d)."""
    at = mp4.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    return mp4[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + mp4[at + 36 :]


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """The bytes with one occurrence of ``old`` written over."""
    at = data.index(old)
    return data[:at] + new + data[at + len(new) :]
