"""1080p clips that cost a decoder what filmed ones do: textured shapes that pan and cross each other, under grain.

Encoding takes minutes, so that finished clips are kept in the machine's temporary folder and found there again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, FPS = 1920, 1080, 30
#: x264's own default: a key frame at each cut, and at the latest after so many frames.
GOP = 250
_SHOT_S = 20
_SOURCES = 2
#: Part of the folder's name: other clips than those found there need another.
_KIND = "mmfs-clips-2"

Grey = npt.NDArray[np.uint8]


def make_clips(count: int = 8, longest_s: int = 60) -> list[Path]:
    """Clips from ``longest_s`` down to half of it, each another file; made once, then found again."""
    folder = Path(tempfile.gettempdir()) / f"{_KIND}-{longest_s}s"
    folder.mkdir(exist_ok=True)
    sources = [_film(folder / f"film-{seed}.mp4", longest_s, seed) for seed in range(min(count, _SOURCES))]
    clips = []
    for number in range(count):
        length_s = longest_s * (1 - 0.5 * (number // _SOURCES) / max(1, (count - 1) // _SOURCES))
        clip = folder / f"clip-{number:02d}-of-{count:02d}.mp4"
        clips.append(_once(clip, partial(_cut, sources[number % _SOURCES], length_s)))
    return clips


def _film(path: Path, length_s: int, seed: int) -> Path:
    return _once(path, partial(_encode, length_s, np.random.default_rng(seed)))


def _once(path: Path, make: Callable[[Path], None]) -> Path:
    if not path.exists():
        unfinished = path.with_suffix(".unfinished.mp4")
        make(unfinished)
        unfinished.rename(path)
    return path


def _cut(source: Path, length_s: float, path: Path) -> None:
    """The first seconds of a clip, without encoding it again."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as part:
        streams = {stream.index: part.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.dts * packet.time_base < length_s:
                packet.stream = streams[packet.stream_index]
                part.mux(packet)


def _encode(length_s: int, rng: np.random.Generator, path: Path) -> None:
    grain = [rng.normal(0, 3.0, (HEIGHT, WIDTH)).round().astype(np.int16) for _ in range(6)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "medium", "crf": "23", "g": str(GOP)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        for number in range(length_s * FPS):
            if number % (_SHOT_S * FPS) == 0:
                shot = _Shot(rng)
            planes = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
            picture = shot.picture(number % (_SHOT_S * FPS))
            planes[:HEIGHT] = np.clip(picture + grain[number % len(grain)], 16, 235)
            # Chroma follows brightness, as in a film of few colours.
            half = picture[::2, ::2]
            planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[:] = [104 + half // 6, 156 - half // 5]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
        for number in range(length_s * 48000 // 1024):
            chunk = av.AudioFrame.from_ndarray(rng.normal(0, 0.1, (2, 1024)).astype(np.float32), "fltp", "stereo")
            chunk.sample_rate, chunk.pts = 48000, number * 1024
            container.mux(sound.encode(chunk))
        container.mux(sound.encode())


class _Shot:
    """A camera that pans over a wall of overlapping leaves while larger ones cross before it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._wall = _leaves(rng, 2 * HEIGHT + 800, 2 * WIDTH + 2400)
        self._sprites = [_leaves(rng, size, size) for size in (180, 260, 340, 420)]
        self._speed = rng.uniform(1.0, 4.0, 2)
        self._paths = rng.uniform(0.004, 0.02, (len(self._sprites), 2))

    def picture(self, number: int) -> npt.NDArray[np.int16]:
        """Brightness of one frame, int16 [1080, 1920]."""
        # The wall is twice as fine as the picture, so that the pan moves by half pixels.
        top, left = (
            int(room / 2 * (1 - np.cos(speed * number / 300)))
            for room, speed in zip((800, 2400), self._speed, strict=True)
        )
        picture: npt.NDArray[np.int16] = self._wall[top:, left:][: 2 * HEIGHT : 2, : 2 * WIDTH : 2].astype(np.int16)
        for sprite, (down, right) in zip(self._sprites, self._paths, strict=True):
            size = len(sprite)
            y = int((HEIGHT - size) / 2 * (1 + np.sin(down * number)))
            x = int((WIDTH - size) / 2 * (1 + np.cos(right * number)))
            rows, columns = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
            inside = rows**2 + columns**2 < 1
            picture[y : y + size, x : x + size][inside] = sprite[inside]
        return picture


def _leaves(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Discs over discs of all sizes, whose statistics are those of photographs, with fine texture."""
    picture = np.full((height, width), 128.0, np.float32)
    for _ in range(6000 if height > 1000 else 250):
        radius = min(24 / rng.random(), height / 8)
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        rows = slice(max(0, int(y - radius)), int(y + radius) + 1)
        columns = slice(max(0, int(x - radius)), int(x + radius) + 1)
        part = picture[rows, columns]
        down = np.arange(rows.start, rows.start + part.shape[0])[:, None] - y
        right = np.arange(columns.start, columns.start + part.shape[1])[None, :] - x
        shade = rng.uniform(30, 220) + rng.uniform(-40, 40) * right / radius
        np.copyto(part, shade + np.zeros_like(part), where=down**2 + right**2 < radius**2)
    fine = rng.normal(0, 3, (height // 2 + 1, width // 2 + 1)).astype(np.float32)
    picture += np.kron(fine, np.ones((2, 2), np.float32))[:height, :width]
    # A little blur, as of a lens.
    picture = (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1) + np.roll(picture, (1, 1), (0, 1))) / 4
    return np.clip(picture, 16, 235).astype(np.uint8)
