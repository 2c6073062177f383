"""Scenes as files: pictures, clips and one list of captions, the same bytes for the same arguments."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfs.errors import MediaError
from mmfs.media.scenes.describe import captions
from mmfs.media.scenes.render import render
from mmfs.media.scenes.scene import HEIGHT, WIDTH, Scene, Split, scene

CAPTIONS_FILE = "captions.csv"
COLUMNS = ("file", "caption", "licence", "creator", "attributes")
SEED_STRIDE = 1_000_000  # indexes a seed owns, so that no two seeds share a scene
_JPEG_QUALITY = 95
_MAX_PROCESSES = 4


def write_scenes(
    directory: Path | str,
    *,
    split: Split,
    images: int,
    videos: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Renders scenes into a directory.

    Writes `images/<split>-<index>.jpg`, `videos/<split>-<index>.mp4` (H.264) and `captions.csv` with a row a
    caption (columns `file`, `caption`, `licence`, `creator`, `attributes`). `attributes` is JSON: `scene`
    rebuilds the Scene (`scene_from_json`), `objects` names what is in it. Equal arguments write equal bytes;
    files already there are written anew, others stay.

    Args: images, videos: how many of each. seed: which million of the split's indexes to take; images come
    first. progress: called with (files done, files in all).
    Returns: the path of `captions.csv`. Raises MediaError for negative counts or more than a million files.
    """
    total = images + videos
    if min(images, videos, seed) < 0 or total > SEED_STRIDE:
        raise MediaError(f"{images} images and {videos} videos at seed {seed}", mend="ask for 0 to a million")
    root = Path(directory)
    jobs = []
    for number in range(total):
        folder, suffix = ("images", "jpg") if number < images else ("videos", "mp4")
        index = seed * SEED_STRIDE + number
        jobs.append((str(root), split, index, f"{folder}/{split}-{index:07d}.{suffix}"))
    for folder in ("images", "videos"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    listing = root / CAPTIONS_FILE
    with listing.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for done, job in enumerate(_run(jobs), 1):
            _, _, index, name = job
            drawn = scene(split, index)
            about = json.dumps(attributes(drawn), separators=(",", ":"))
            rows.writerows((name, text, "CC0-1.0", "mmfs scenes", about) for text in captions(drawn))
            if progress is not None:
                progress(done, total)
    return listing


def attributes(scene: Scene) -> dict[str, Any]:
    """What the list says of a scene: `scene` (for scene_from_json) and `objects` (shape, color and size)."""
    objects = [{"shape": t.shape, "color": t.color, "size": t.size} for t in scene.things]
    return {"scene": scene.to_json(), "objects": objects}


def write_image(scene: Scene, path: Path) -> None:
    """Writes the scene at time 0 as a JPEG (quality 95, 4:4:4)."""
    import simplejpeg

    picture, _ = render(scene)
    data = simplejpeg.encode_jpeg(picture, _JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    path.write_bytes(data)


def write_clip(scene: Scene, path: Path) -> None:
    """Writes the moving-camera clip: H.264 in MP4, frame n shown at n / fps seconds, duration_s long."""
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=scene.fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # One thread and a fixed key frame distance: the bytes depend on nothing but the pictures. Nor on the processor:
        # x264's code for AVX-512 gives other bytes from run to run.
        stream.codec_context.thread_count = 1
        options = {"crf": "18", "preset": "veryfast", "g": str(2 * scene.fps), "threads": "1"}
        stream.codec_context.options = {**options, "x264-params": "cpu-independent=1"}
        for picture in clip_frames(scene):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def clip_frames(scene: Scene) -> Iterator[NDArray[np.uint8]]:
    """The clip's pictures in order, uint8 [256, 320, 3] each."""
    for n in range(round(scene.duration_s * scene.fps)):
        yield render(scene, n / scene.fps)[0]


def _run(jobs: list[tuple[str, Split, int, str]]) -> Iterator[tuple[str, Split, int, str]]:
    """Does every job and yields them in order; many of them in a few processes."""
    processes = min(_MAX_PROCESSES, cpu_count() or 1)
    if processes == 1 or len(jobs) < 200:
        for job in jobs:
            _write_one(job)
            yield job
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for job, _ in zip(jobs, pool.map(_write_one, jobs, chunksize=8), strict=True):
            yield job


def _write_one(job: tuple[str, Split, int, str]) -> None:
    root, split, index, name = job
    (write_image if name.endswith(".jpg") else write_clip)(scene(split, index), Path(root) / name)
