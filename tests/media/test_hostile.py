"""Damaged bytes of every kind end as frames or as a reason: no crash, no hang, no job without an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfs.codecs import decode_jpeg
from mmfs.media import Failure, FrameJob, Guard, Probed, ProbeJob, Reason, Sampled
from mmfs.settings import FramesConfig
from tests.media.makers import image_bytes, make_video, noise

# FFmpeg runs "out of memory" when a damaged table claims more entries than any memory holds.
CALM = frozenset(Reason) - {Reason.CRASHED, Reason.TIMEOUT, Reason.MISSING, Reason.CHANGED}
IMAGES = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def specimens(folder: Path) -> dict[str, bytes]:
    """One small whole file of each format."""
    files = {form.lower(): image_bytes(noise(40, 30), form) for form in IMAGES}
    clips = {
        "mp4": ("a.mp4", "libx264", {"container_options": {"movflags": "faststart"}}),
        "fragmented": ("f.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        "mkv": ("a.mkv", "libx264", {}),
        "ts": ("a.ts", "mpeg2video", {"fps": 25}),
        "webm": ("a.webm", "libvpx-vp9", {}),
        "vp8": ("b.webm", "libvpx", {}),
        "avi": ("a.avi", "mpeg4", {}),
        "hevc": ("h.mp4", "libx265", {"options": {"x265-params": "log-level=none"}}),
    }
    for kind, (name, codec, options) in clips.items():
        make_video(folder / name, 12, codec=codec, **options)  # type: ignore[arg-type]
        files[kind] = (folder / name).read_bytes()
    return files


def flipped(data: bytes, rng: np.random.Generator, share: float) -> bytes:
    """The bytes with about this share of them changed by one bit, the first sixteen spared."""
    damaged = np.frombuffer(data, np.uint8).copy()
    count = max(1, round(share * len(data)))
    places = rng.integers(16, len(data), count)
    damaged[places] ^= (1 << rng.integers(0, 8, count)).astype(np.uint8)
    return damaged.tobytes()


def survive(guard: Guard, folder: Path, files: dict[str, bytes], seed: int, rounds: int) -> dict[str, int]:
    """Probe and sample damaged copies of all files; returns how many came through, by outcome."""
    rng = np.random.default_rng(seed)
    paths: dict[str, Path] = {}
    for number in range(rounds):
        for kind, data in files.items():
            damaged = flipped(data, rng, float(rng.choice([0.0, 0.001, 0.01, 0.1])))
            if rng.random() < 0.3:
                damaged = damaged[: int(rng.integers(1, len(damaged)))]
            path = folder / f"{kind}-{number}.mp4"
            path.write_bytes(damaged)
            paths[path.name] = path
    counts = {"frames": 0, "probe": 0, "sample": 0}
    alive: list[FrameJob] = []
    for probed in guard.probe(ProbeJob(name, path) for name, path in paths.items()):
        if isinstance(probed, Probed):
            job = FrameJob(
                probed.id, paths[probed.id], probed.info.sha256, probed.info.duration_s, FramesConfig(mode="all")
            )
            alive.append(job)
        else:
            assert probed.reason in CALM, (seed, probed)
            counts["probe"] += 1
    for sampled in guard.frames(alive):
        if isinstance(sampled, Failure):
            assert sampled.reason in CALM, (seed, sampled)
            counts["sample"] += 1
            continue
        counts["frames"] += 1
        assert_sound(sampled)
    assert sum(counts.values()) == len(paths)
    return counts


def assert_sound(sampled: Sampled) -> None:
    """Frames in order, whole, of the size they say."""
    ordinals = [frame.frame_index for frame in sampled.frames]
    assert ordinals == sorted(set(ordinals))
    for frame in sampled.frames:
        assert decode_jpeg(frame.jpeg).shape == (frame.height, frame.width, 3)
        assert frame.time_s == frame.pts_us / 1e6


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return specimens(tmp_path_factory.mktemp("specimens"))


def test_flipped_and_cut_files_give_frames_or_a_reason(guard: Guard, tmp_path: Path, files: dict[str, bytes]) -> None:
    counts = survive(guard, tmp_path, files, seed=1, rounds=8)
    assert counts["frames"] > 20
    assert counts["probe"] > 20


def test_the_suffix_decides_nothing(guard: Guard, tmp_path: Path, files: dict[str, bytes]) -> None:
    for kind, data in files.items():
        (tmp_path / f"{kind}.txt").write_bytes(data)
    results = {r.id: r for r in guard.probe(ProbeJob(kind, tmp_path / f"{kind}.txt") for kind in files)}
    for kind, result in results.items():
        assert isinstance(result, Probed), result
        assert result.info.kind == (
            "image" if kind in ("jpeg", "png", "webp", "avif", "gif", "bmp", "tiff") else "video"
        )


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 42))
def test_thousands_of_damaged_files_give_frames_or_a_reason(
    guard: Guard, tmp_path: Path, files: dict[str, bytes], seed: int
) -> None:
    survive(guard, tmp_path, files, seed=seed, rounds=20)
