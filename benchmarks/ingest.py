"""How much of the machine's own decoding speed is left when media are ingested?

1080p H.264 clips of 30 to 60 s with sound, as x264 makes them by default (key frames up to 250 frames apart), are made
once and kept in the temporary folder. Then, interleaved, on the same cores: `ffmpeg` decoding every frame to nowhere,
one process a core with one thread each, and one clip after the other with as many threads as it likes (the better is
the peer); `build_frames` at one frame a second and at key frames, from files to a committed table with packs, the start
of its processes included. Then a plain loop that opens a clip, seeks to each second and saves a JPEG with Pillow, and
registering photos against hashing the same files. Prints medians and ratios; processor time beside wall time, because
it stays the same on a busy machine.

    python benchmarks/ingest.py [--json FILE] [--clips 8] [--seconds 60] [--photos 400] [--repeats 3]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from making.clips import FPS, GOP, HEIGHT, WIDTH, make_clips
from PIL import Image

from mmfs.ingest import assign, build_frames, list_sources, register_media
from mmfs.media import Guard, ProbeJob
from mmfs.settings import FramesConfig, GuardLimits, Settings
from mmfs.store import Store

Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=60, help="length of the longest clip; the shortest has half")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    workers = min(len(os.sched_getaffinity(0)), 8)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])  # children inherit it
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(arguments.clips, arguments.seconds)
        result = {
            "workers": workers,
            **measure_clips(clips, Path(folder), workers, arguments.repeats),
            **measure_photos(make_photos(Path(folder, "photos"), arguments.photos), Path(folder), workers),
        }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure_clips(clips: list[Path], folder: Path, workers: int, repeats: int) -> dict[str, Any]:
    """Frames of clips against bare decoding: medians of interleaved repeats, and their ratios."""
    stores = {
        "frames_1fps": Registered(folder / "1fps", clips, FramesConfig(fps=1.0), workers),
        "frames_keyframes": Registered(folder / "keyframes", clips, FramesConfig(mode="keyframes"), workers),
    }
    ways: dict[str, Work] = {name: registered.build for name, registered in stores.items()}
    ways["process_start"] = partial(start_processes, clips, workers)
    if shutil.which("ffmpeg"):
        ways["ffmpeg_a_process_a_core"] = lambda: in_parallel(partial(bare_decode, threads=1), clips, workers)
        ways["ffmpeg_its_own_threads"] = lambda: in_parallel(partial(bare_decode, threads=0), clips, 1)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            for registered in stores.values():
                registered.forget()
            wall_s, processor_s = timed(way)
            wall[name].append(wall_s)
            processor[name].append(processor_s)
    wall_s, processor_s = ({name: statistics.median(each) for name, each in all.items()} for all in (wall, processor))
    frames, shortest = count_frames(clips), clips[-workers:]
    by_hand_s = timed(lambda: in_parallel(partial(seek_by_hand, folder=folder), shortest, workers))[0]
    result = {
        "clips": f"{len(clips)}, {frames / FPS:.0f} s in all, {sum(clip.stat().st_size for clip in clips) >> 20} MiB, "
        f"{WIDTH}x{HEIGHT} H.264 at {FPS} frames/s, key frame every {GOP} frames and at cuts",
        "wall_s": {name: round(value, 3) for name, value in wall_s.items()},
        "processor_s": {name: round(value, 3) for name, value in processor_s.items()},
        "source_frames_per_s": {name: round(frames / value) for name, value in wall_s.items() if "start" not in name}
        | {"seek_by_hand": round(count_frames(shortest) / by_hand_s)},
        "rows": {name: registered.rows for name, registered in stores.items()},
        "each_wall_s": {name: [round(value, 3) for value in each] for name, each in wall.items()},
    }
    peers = [name for name in ways if name.startswith("ffmpeg")]
    if not peers:
        return result | {"frames_1fps_over_ffmpeg": "no ffmpeg here"}
    peer = min(peers, key=wall_s.__getitem__)
    result["peer"] = peer
    start_s = wall_s["process_start"]
    for name in stores:
        result |= {
            f"{name}_over_ffmpeg": round(wall_s[peer] / wall_s[name], 3),
            f"{name}_over_ffmpeg_processes_running": round(wall_s[peer] / (wall_s[name] - start_s), 3),
            f"{name}_over_ffmpeg_by_processor_time": round(
                min(processor_s[each] for each in peers) / processor_s[name], 3
            ),
        }
    result["seek_by_hand_over_ffmpeg"] = round(count_frames(shortest) / by_hand_s / (frames / wall_s[peer]), 3)
    return result


def measure_photos(photos: list[Path], folder: Path, workers: int) -> dict[str, Any]:
    """Registering photos against hashing the same files."""
    register, sha256 = [], []
    for repeat in range(3):
        store = assigned(folder / f"photos-{repeat}", photos, FramesConfig(), workers)
        report = register_media(store, "000000", now_us=1)
        assert report.computed == len(photos)
        register.append(report.seconds)
        sha256.append(timed(lambda: in_parallel(hash_file, photos, workers))[0])
    register_s, sha256_s = statistics.median(register), statistics.median(sha256)
    return {
        "photos": len(photos),
        "register_files_per_s": round(len(photos) / register_s, 1),
        "register_over_sha256": round(sha256_s / register_s, 3),
    }


class Registered:
    """Registered clips in a store whose frames can be built again and again."""

    def __init__(self, folder: Path, clips: list[Path], config: FramesConfig, workers: int) -> None:
        self._template, self._store = folder / "registered", folder / "store"
        self._settings = Settings(workers=workers, frames=config)
        store = assigned(self._template, clips, config, workers)
        assert register_media(store, "000000", now_us=1).computed == len(clips)
        self.rows = 0

    def forget(self) -> None:
        """Go back to no frames."""
        shutil.rmtree(self._store, ignore_errors=True)
        shutil.copytree(self._template, self._store)

    def build(self) -> None:
        """The whole step, from opening the store to the committed table."""
        self.rows = build_frames(Store.open(self._store, settings=self._settings), "000000", now_us=1).computed
        assert self.rows


def assigned(folder: Path, files: list[Path], config: FramesConfig, workers: int) -> Store:
    """A new store in which these files belong to one shard."""
    store = Store.open(folder, settings=Settings(workers=workers, frames=config))
    assign(store, list_sources([str(file) for file in files], store.settings), added_by="benchmark", now_us=1)
    return store


def timed(work: Work) -> tuple[float, float]:
    """Wall time of a call, and the processor time that it and the processes it waited for took."""
    began, used = time.perf_counter(), processor_s()
    work()
    return time.perf_counter() - began, processor_s() - used


def processor_s() -> float:
    """Processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def in_parallel(work: Callable[[Path], None], paths: list[Path], workers: int) -> None:
    """One call a path, on threads: what is called leaves Python or waits for a process."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, paths))


def bare_decode(clip: Path, threads: int) -> None:
    """Decode every frame to nowhere."""
    command = ["ffmpeg", "-v", "error", "-threads", str(threads), "-i", clip, "-an", "-f", "null", "-"]
    subprocess.run(command, check=True)


def start_processes(files: list[Path], workers: int) -> None:
    """Start the decoding processes and have each refuse one job."""
    with Guard(GuardLimits(), workers=workers) as guard:
        jobs = [ProbeJob(str(number), files[0].with_suffix(".missing")) for number in range(workers)]
        assert len(list(guard.probe(jobs))) == workers


def count_frames(clips: list[Path]) -> int:
    """Source frames of clips, by their headers."""
    total = 0
    for clip in clips:
        with av.open(str(clip)) as container:
            total += container.streams.video[0].frames
    return total


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
