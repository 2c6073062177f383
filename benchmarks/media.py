"""What do the decoding processes cost over decoding bare, and where does it go?

One 1080p H.264 clip of 30 s. Interleaved, on one core each: the guard sampling one frame a second, the guard at key
frames, a loop of PyAV in this process that decodes every frame and drops it, and the `ffmpeg` program doing the same
where it is installed. The processes run already; the guard's side includes reading and hashing the file, reading its
packets twice, scaling, encoding JPEGs and carrying them to this process. Then the parts of a key-frame job, each by
itself in this process. Prints medians of processor time, which stay the same on a busy machine, and ratios.

    python benchmarks/media.py [--json FILE] [--repeats 5]
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
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from making.clips import GOP, HEIGHT, WIDTH, make_clips

from mmfs.media import FrameJob, Guard, MediaInfo, Probed, ProbeJob, Sampled
from mmfs.media.container import open_container
from mmfs.media.decode import FrameDecoder
from mmfs.media.picture import to_jpeg
from mmfs.media.sampling import Sampling
from mmfs.media.streams import video_stream
from mmfs.media.timeline import Timeline, read_timeline
from mmfs.settings import FramesConfig, GuardLimits

_MAX_SIDE = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    result = measure(make_clips()[-1], arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(clip: Path, repeats: int) -> dict[str, Any]:
    """Medians of interleaved repeats, and their ratios."""
    # Long deadlines: this measures speed on whatever else the machine is doing.
    with Guard(GuardLimits(deadline_s=600), workers=1) as guard:
        (probed,) = guard.probe([ProbeJob("clip", clip)])
        assert isinstance(probed, Probed)
        info = probed.info
        frames = info.frame_count or 0

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
                before = processor_s(guard.pids)
                way()
                seconds[name].append(processor_s(guard.pids) - before)
    rates = {name: frames / statistics.median(times) for name, times in seconds.items()}
    ratios = {
        f"{name}_over_{bare}": round(rates[name] / rates[bare], 2)
        for name in ("guard_1fps", "guard_keyframes")
        for bare in ("bare_pyav", "bare_ffmpeg")
        if bare in rates
    }
    return {
        "clip": f"{WIDTH}x{HEIGHT} H.264, {frames} frames, {clip.stat().st_size >> 20} MiB, key frame every {GOP}",
        "frames_per_processor_s": {name: round(rate, 1) for name, rate in rates.items()},
        "ratios": ratios,
        "processor_s": {name: [round(value, 3) for value in times] for name, times in seconds.items()},
        "parts_of_keyframes_ms": parts(clip, info, repeats),
    }


def parts(clip: Path, info: MediaInfo, repeats: int) -> dict[str, float]:
    """Processor time of each part of sampling the key frames of a clip, least of the repeats, in milliseconds."""
    data = clip.read_bytes()
    sampling = Sampling("keyframes", 1.0, 256, 90)

    def timeline() -> Timeline:
        with open_container(BytesIO(data), info, max_side=_MAX_SIDE, headers_suffice=True) as container:
            stream = video_stream(container, max_side=_MAX_SIDE)
            assert stream is not None
            return read_timeline(container, stream, with_ends=False)

    def decoder() -> FrameDecoder:
        return FrameDecoder(BytesIO(data), info, times, times.keys, max_side=_MAX_SIDE, only_keys=True)

    times = timeline()
    pictures = [frame for frame, _ in decoder()]
    ways: dict[str, Callable[[], object]] = {
        "read": clip.read_bytes,
        "sha256": lambda: hashlib.sha256(data).digest(),
        "open_and_read_the_times": timeline,
        "open_again_and_decode": lambda: [None for _ in decoder()],
        "scale_and_encode": lambda: [to_jpeg(frame, sampling) for frame in pictures],
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            way()
            spent[name].append(time.process_time() - began)
    return {name: round(1000 * min(each), 1) for name, each in spent.items()} | {"key_frames": len(pictures)}


def processor_s(pids: list[int]) -> float:
    """Processor time of this process, of its children that have ended, and of these that run."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) for pid in pids)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + ticks / os.sysconf("SC_CLK_TCK")


def decode_bare(clip: Path, frames: int) -> None:
    """Decode every frame on one thread and drop it."""
    with av.open(str(clip)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        assert sum(1 for _ in container.decode(video=0)) == frames


def run_ffmpeg(clip: Path) -> None:
    """The same by the program, on one thread."""
    subprocess.run(["ffmpeg", "-v", "error", "-threads", "1", "-i", clip, "-an", "-f", "null", "-"], check=True)


if __name__ == "__main__":
    main()
