"""What do the decoding processes cost over decoding bare?

Makes one 1080p H.264 clip. Then, interleaved, on one core each: the guard sampling one frame a second, the guard
sampling key frames, a loop of PyAV in this process that decodes every frame and drops it, and the `ffmpeg` program
doing the same where it is installed. The guard's side includes hashing the file, reading its packets twice, scaling,
encoding JPEGs and carrying them to this process. Prints medians in source frames a second, and ratios.

    python benchmarks/media.py [--json FILE] [--seconds 10] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmfs.media import FrameJob, Guard, Probed, ProbeJob, Sampled
from mmfs.settings import FramesConfig, GuardLimits

WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 30, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", arguments.seconds * FPS)
        result = measure(clip, arguments.seconds * FPS, arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(clip: Path, frames: int, repeats: int) -> dict[str, Any]:
    """Medians of interleaved repeats, and their ratios."""
    # Long deadlines: this measures speed on whatever else the machine is doing.
    with Guard(GuardLimits(deadline_s=600), workers=1) as guard:
        (probed,) = guard.probe([ProbeJob("clip", clip)])
        assert isinstance(probed, Probed)
        info = probed.info

        def guarded(config: FramesConfig) -> None:
            (sampled,) = guard.frames([FrameJob("clip", clip, info.sha256, info.duration_s, config)])
            assert isinstance(sampled, Sampled)

        ways: dict[str, Callable[[], None]] = {
            "guard_1fps": lambda: guarded(FramesConfig()),
            "guard_keyframes": lambda: guarded(FramesConfig(mode="keyframes")),
            "bare_pyav": lambda: decode_bare(clip, frames),
        }
        if shutil.which("ffmpeg"):
            ways["bare_ffmpeg"] = lambda: run_ffmpeg(clip)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - began)
    rates = {name: frames / statistics.median(times) for name, times in seconds.items()}
    ratios = {
        f"{name}_over_{bare}": round(rates[name] / rates[bare], 2)
        for name in ("guard_1fps", "guard_keyframes")
        for bare in ("bare_pyav", "bare_ffmpeg")
        if bare in rates
    }
    return {
        "clip": f"{WIDTH}x{HEIGHT} H.264, {frames} frames, key frame every {GOP}",
        "frames_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "ratios": ratios,
        "seconds": {name: [round(value, 3) for value in times] for name, times in seconds.items()},
    }


def decode_bare(clip: Path, frames: int) -> None:
    """Decode every frame on one thread and drop it."""
    with av.open(str(clip)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        assert sum(1 for _ in container.decode(video=0)) == frames


def run_ffmpeg(clip: Path) -> None:
    """The same by the program, on one thread."""
    subprocess.run(["ffmpeg", "-v", "error", "-threads", "1", "-i", clip, "-an", "-f", "null", "-"], check=True)


def make_clip(path: Path, frames: int) -> Path:
    """Soft shapes that move, under a little noise, so that there are motion and residuals to decode."""
    rng = np.random.default_rng(0)
    soft = np.kron(rng.integers(0, 256, (HEIGHT // 60, 2 * WIDTH // 60)), np.ones((60, 60))).astype(np.uint8)
    grain = [rng.integers(0, 9, (HEIGHT, WIDTH), np.uint8) for _ in range(4)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(GOP)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            shift = 4 * number % WIDTH
            planes[:HEIGHT] = soft[:, shift : shift + WIDTH] // 2 + 60 + grain[number % 4]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
