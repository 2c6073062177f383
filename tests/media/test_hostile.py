"""Damaged bytes of every kind end as frames, as sound or as a reason: no crash, no hang, no job without an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfs.codecs import decode_flac, decode_jpeg
from mmfs.media import Failure, FrameJob, Guard, Probed, ProbeJob, Reason, Sampled, SoundJob
from mmfs.settings import AudioConfig, FramesConfig
from tests.media.makers import image_bytes, make_video, noise
from tests.media.sounds import encode_sound, tone

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


def damaged_copies(folder: Path, files: dict[str, bytes], seed: int, rounds: int) -> dict[str, Path]:
    """Copies of all files with bits flipped, some of them cut; by name."""
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
    return paths


def survive(guard: Guard, folder: Path, files: dict[str, bytes], seed: int, rounds: int) -> dict[str, int]:
    """Probe and sample damaged copies of all files; returns how many came through, by outcome."""
    paths = damaged_copies(folder, files, seed, rounds)
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


def sounds(folder: Path) -> dict[str, bytes]:
    """A second of sound in each of many formats."""
    kinds = {
        "m4a": "aac", "mp4": "aac", "mp3": "libmp3lame", "ogg": "libopus", "flac": "flac", "wav": "pcm_s16le",
        "mkv": "ac3", "webm": "libopus", "ts": "mp2", "avi": "mp2",
    }  # fmt: skip
    files = {}
    for suffix, codec in kinds.items():
        path = folder / f"whole.{suffix}"
        video_s = 0.5 if suffix in ("mp4", "mkv", "ts", "avi") else 0.0
        files[suffix] = encode_sound(path, tone(1.0, 48_000), 48_000, codec, video_s=video_s).read_bytes()
    return files


def survive_hearing(guard: Guard, folder: Path, files: dict[str, bytes], seed: int, rounds: int) -> dict[str, int]:
    """Probe damaged copies of all files and cut their sound; returns how many came through, by outcome."""
    paths = damaged_copies(folder, files, seed, rounds)
    counts = {"windows": 0, "probe": 0, "sound": 0}
    alive: list[SoundJob] = []
    for probed in guard.probe(ProbeJob(name, path) for name, path in paths.items()):
        if isinstance(probed, Probed):
            info = probed.info
            alive.append(SoundJob(probed.id, paths[probed.id], info.sha256, info.duration_s, AudioConfig(window_s=0.3)))
        else:
            assert probed.reason in CALM, (seed, probed)
            counts["probe"] += 1
    for heard in guard.sound(alive):
        if isinstance(heard, Failure):
            assert heard.reason in CALM, (seed, heard)
            counts["sound"] += 1
            continue
        counts["windows"] += 1
        indices = [window.window_index for window in heard.windows]
        assert indices == sorted(set(indices)), (seed, heard.id)
        for window in heard.windows:
            expected = round((window.end_s - window.start_s) * window.sample_rate_hz)
            assert decode_flac(window.flac).shape == (1, expected), (seed, heard.id)
    assert sum(counts.values()) == len(paths)
    return counts


def test_damaged_sounds_give_windows_or_a_reason(guard: Guard, tmp_path: Path) -> None:
    counts = survive_hearing(guard, tmp_path, sounds(tmp_path), seed=1, rounds=6)
    assert counts["windows"] > 20
    assert counts["probe"] + counts["sound"] > 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 22))
def test_thousands_of_damaged_sounds_give_windows_or_a_reason(guard: Guard, tmp_path: Path, seed: int) -> None:
    survive_hearing(guard, tmp_path, sounds(tmp_path), seed=seed, rounds=20)
