"""How much of the machine's own decoding speed is left when media are ingested?

Makes one 1080p H.264 clip and copies of it (each a different file), and photos. Then, interleaved, with the same
number of processes: `ffmpeg` decoding every frame to nowhere, one process a clip; `build_frames` at one frame a second
and at key frames, from files to a committed table with packs; and a plain loop that opens the clip, seeks to each
second and saves a JPEG with Pillow. Registering photos is held against hashing the same files. Prints medians and
ratios.

    python benchmarks/ingest.py [--json FILE] [--clips 4] [--seconds 10] [--photos 400] [--repeats 3]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from mmfs.ingest import assign, build_frames, list_sources, register_media
from mmfs.settings import FramesConfig, Settings
from mmfs.store import Store

WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians of interleaved repeats, in seconds, and their ratios."""
    workers = min(os.cpu_count() or 1, 8)
    clips = make_clips(folder / "clips", arguments.clips, arguments.seconds)
    photos = make_photos(folder / "photos", arguments.photos)
    stores = (folder / f"store-{number}" for number in range(1000))

    def registered(source: Path, config: FramesConfig) -> Store:
        store = Store.open(next(stores), settings=Settings(workers=workers, frames=config))
        assign(store, list_sources([str(source)], store.settings), added_by="benchmark", now_us=1)
        return store

    def frames(config: FramesConfig) -> float:
        store = registered(folder / "clips", config)
        register_media(store, "000000", now_us=1)
        report = build_frames(store, "000000", now_us=1)
        assert report.computed >= len(clips)
        return report.seconds

    def register() -> float:
        report = register_media(registered(folder / "photos", FramesConfig()), "000000", now_us=1)
        assert report.computed == len(photos)
        return report.seconds

    ways: dict[str, Callable[[], float]] = {
        "frames_1fps": lambda: frames(FramesConfig(fps=1.0)),
        "frames_keyframes": lambda: frames(FramesConfig(mode="keyframes")),
        "seek_by_hand": lambda: seconds(lambda: in_parallel(lambda clip: seek_by_hand(clip, folder), clips, workers)),
        "register": register,
        "sha256": lambda: seconds(lambda: in_parallel(hash_file, photos, workers)),
    }
    if shutil.which("ffmpeg"):
        ways["ffmpeg"] = lambda: seconds(lambda: in_parallel(bare_decode, clips, workers))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            times[name].append(way())
    median = {name: statistics.median(found) for name, found in times.items()}
    bare = median.get("ffmpeg")
    return {
        "workers": workers,
        "clips": f"{len(clips)} of {arguments.seconds} s, {WIDTH}x{HEIGHT} H.264 at {FPS} frames/s",
        "photos": len(photos),
        "seconds": {name: round(value, 3) for name, value in median.items()},
        "frames_1fps_over_ffmpeg": round(bare / median["frames_1fps"], 3) if bare else "no ffmpeg here",
        "frames_keyframes_over_ffmpeg": round(bare / median["frames_keyframes"], 3) if bare else "no ffmpeg here",
        "seek_by_hand_over_ffmpeg": round(bare / median["seek_by_hand"], 3) if bare else "no ffmpeg here",
        "frames_1fps_over_by_hand": round(median["seek_by_hand"] / median["frames_1fps"], 3),
        "register_files_per_s": round(len(photos) / median["register"], 1),
        "register_over_sha256": round(median["sha256"] / median["register"], 3),
        "each_s": {name: [round(value, 3) for value in found] for name, found in times.items()},
    }


def seconds(work: Callable[[], None]) -> float:
    """Wall time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_parallel(work: Callable[[Path], None], paths: list[Path], workers: int) -> None:
    """One call a path, on threads: what is called leaves Python or waits for a process."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, paths))


def bare_decode(clip: Path) -> None:
    """Decode every frame to nowhere."""
    subprocess.run(["ffmpeg", "-v", "error", "-threads", "1", "-i", clip, "-an", "-f", "null", "-"], check=True)


def seek_by_hand(clip: Path, folder: Path) -> None:
    """A frame a second as one would write it: seek, decode to the time, convert, resize, save."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        duration_s = float(stream.duration * stream.time_base)
        for second in range(int(duration_s)):
            container.seek(int(second / stream.time_base), stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.time >= second)
            picture = frame.to_image().resize((WIDTH * 256 // HEIGHT, 256), Image.Resampling.BICUBIC)
            picture.save(folder / f"{clip.stem}-{second}.jpg", quality=90)


def hash_file(path: Path) -> None:
    """Read and hash a file."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def make_clips(folder: Path, count: int, length_s: int) -> list[Path]:
    """One clip of moving soft shapes, and copies that differ in a box nobody reads."""
    folder.mkdir()
    first = folder / "0.mp4"
    soft = np.kron(np.random.default_rng(0).integers(0, 256, (18, 64)), np.ones((60, 60))).astype(np.uint8)
    with av.open(str(first), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(GOP)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(length_s * FPS):
            picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            picture[:HEIGHT] = soft[:, 4 * number % WIDTH :][:, :WIDTH]
            picture[number % HEIGHT] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    clips = [first]
    for number in range(1, count):
        clips.append(folder / f"{number}.mp4")
        clips[-1].write_bytes(first.read_bytes() + struct.pack(">I4sQ", 16, b"free", number))
    return clips


def make_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 1024x768, each another one."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    paths = []
    for number in range(count):
        blocks = rng.integers(0, 256, (24, 32, 3), np.uint8)
        picture = Image.fromarray(blocks).resize((1024, 768), Image.Resampling.BICUBIC)
        paths.append(folder / f"{number:05d}.jpg")
        picture.save(paths[-1], quality=92)
    return paths


if __name__ == "__main__":
    main()
