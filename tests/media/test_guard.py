"""Every job gets exactly one answer, whatever its file does to the process that decodes it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mmfs.codecs import decode_flac
from mmfs.errors import MediaError
from mmfs.media import Failure, FrameJob, Guard, Probed, ProbeJob, Reason, Sampled, SoundJob, Windowed
from mmfs.media.process import DecodingProcess, Task
from mmfs.settings import AudioConfig, FramesConfig, GuardLimits
from tests.media.makers import image_bytes, make_video, noise
from tests.media.sounds import tone, write_wav

LIMITS = GuardLimits()


def pictures(folder: Path, count: int) -> list[ProbeJob]:
    """Jobs over so many small pictures, named by number."""
    jobs = []
    for number in range(count):
        path = folder / f"{number}.png"
        path.write_bytes(image_bytes(noise(8 + number, 8, number), "PNG"))
        jobs.append(ProbeJob(str(number), path))
    return jobs


def kill_when_given(monkeypatch: pytest.MonkeyPatch, job_id: str, times: int) -> list[int]:
    """Kill the process that is given this job, so often; returns the ids of those killed, as they come."""
    give, killed = DecodingProcess.give, list[int]()

    def give_and_kill(process: DecodingProcess, task: Task, *, due: float) -> None:
        if task.id == job_id and len(killed) < times:
            # Stopped before it can begin, so that it is at work when it dies however fast it is.
            os.kill(process.pid, signal.SIGSTOP)
            give(process, task, due=due)
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
        else:
            give(process, task, due=due)

    monkeypatch.setattr(DecodingProcess, "give", give_and_kill)
    return killed


def test_each_job_is_answered_once(guard: Guard, tmp_path: Path) -> None:
    results = list(guard.probe(iter(pictures(tmp_path, 12))))
    assert sorted(int(result.id) for result in results) == list(range(12))
    assert all(isinstance(result, Probed) and result.info.width == 8 + int(result.id) for result in results)


def test_frames_come_whole_and_in_order(guard: Guard, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 30)
    (probed,) = guard.probe([ProbeJob("clip", path)])
    assert isinstance(probed, Probed)
    job = FrameJob("clip", path, probed.info.sha256, probed.info.duration_s, FramesConfig(mode="all"))
    (sampled,) = guard.frames([job])
    assert isinstance(sampled, Sampled)
    assert [frame.frame_index for frame in sampled.frames] == list(range(30))
    assert sampled.salvaged == 0


def test_refused_files_do_not_disturb_their_neighbours(guard: Guard, tmp_path: Path) -> None:
    jobs = pictures(tmp_path, 6)
    jobs[2].path.write_bytes(b"")
    jobs[4].path.unlink()
    results = {result.id: result for result in guard.probe(jobs)}
    reasons = {key: result.reason for key, result in results.items() if isinstance(result, Failure)}
    assert reasons == {"2": Reason.EMPTY, "4": Reason.MISSING}
    failure = results["2"]
    assert isinstance(failure, Failure)
    assert (failure.attempts, failure.message) == (1, "the file has no bytes")
    assert {"av", "pillow", "libavcodec"} <= set(failure.library_versions)


def test_a_process_killed_at_work_costs_no_file(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = kill_when_given(monkeypatch, "3", times=1)
    results = list(guard.probe(pictures(tmp_path, 8)))
    assert len(killed) == 1
    assert sorted(result.id for result in results) == [str(number) for number in range(8)]
    assert all(isinstance(result, Probed) for result in results)


def test_a_file_that_kills_its_process_twice_is_given_up_with_its_signal(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = kill_when_given(monkeypatch, "3", times=2)
    results = {result.id: result for result in guard.probe(pictures(tmp_path, 8))}
    assert len(killed) == len(set(killed)) == 2
    failure = results.pop("3")
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.attempts) == (Reason.CRASHED, 2)
    assert "SIGKILL" in failure.message
    assert len(results) == 7
    assert all(isinstance(result, Probed) for result in results.values())


def test_a_frame_job_that_dies_half_way_starts_over(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", 40)
    (probed,) = guard.probe([ProbeJob("clip", path)])
    assert isinstance(probed, Probed)
    killed: list[int] = []
    take = DecodingProcess.take

    def take_and_kill(process: DecodingProcess) -> object:
        messages = take(process)
        if not killed and process.task and messages:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
            # What was in flight is lost with the process.
            return [message for message in messages if message[0]["type"] == "frame"]
        return messages if process.pid not in killed else None

    monkeypatch.setattr(DecodingProcess, "take", take_and_kill)
    job = FrameJob("clip", path, probed.info.sha256, probed.info.duration_s, FramesConfig(mode="all"))
    (sampled,) = guard.frames([job])
    assert killed
    assert isinstance(sampled, Sampled)
    assert [frame.frame_index for frame in sampled.frames] == list(range(40))


def sound_job(guard: Guard, path: Path, **config: float) -> SoundJob:
    """The job of a file that was probed before."""
    (probed,) = guard.probe([ProbeJob("sound", path)])
    assert isinstance(probed, Probed)
    return SoundJob("sound", path, probed.info.sha256, probed.info.duration_s, AudioConfig(**config))


def test_windows_of_sound_come_whole_and_in_order(guard: Guard, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(5.4, 16_000), 16_000)
    (heard,) = guard.sound([sound_job(guard, path, window_s=0.5, shortest_s=0.1)])
    assert isinstance(heard, Windowed)
    assert [window.window_index for window in heard.windows] == list(range(11))
    assert sum(decode_flac(window.flac).shape[1] for window in heard.windows) == 5.4 * 16_000
    assert heard.blob_bytes == sum(len(window.flac) for window in heard.windows)


def test_a_sound_job_that_dies_half_way_starts_over(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sound_job(guard, write_wav(tmp_path / "a.wav", tone(4.0, 16_000), 16_000), window_s=0.1)
    killed: list[int] = []
    take = DecodingProcess.take

    def take_and_kill(process: DecodingProcess) -> object:
        messages = take(process)
        if not killed and process.task and messages:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
            return [message for message in messages if message[0]["type"] == "window"]
        return messages if process.pid not in killed else None

    monkeypatch.setattr(DecodingProcess, "take", take_and_kill)
    (heard,) = guard.sound([job])
    assert killed
    assert isinstance(heard, Windowed)
    assert [window.window_index for window in heard.windows] == list(range(40))


def test_a_file_over_its_deadline_is_given_up_after_a_second_try(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    # A few kilobytes that take a fifth of a second to decode: the answer cannot be there before the deadline.
    path.write_bytes(image_bytes(Image.new("L", (8000, 8000)), "PNG"))
    with Guard(GuardLimits(deadline_s=1e-6, deadline_per_second=0), workers=2) as guard:
        (failure,) = guard.probe([ProbeJob("large", path)])
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.attempts) == (Reason.TIMEOUT, 2)


def test_a_file_that_needs_too_much_memory_is_given_up_and_says_which_setting(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(image_bytes(Image.new("1", (13_000, 13_000)), "PNG"))
    with Guard(GuardLimits(memory_mb=512), workers=1) as guard:
        (probed,) = guard.probe([ProbeJob("big", path)])
        assert isinstance(probed, Probed)
        job = FrameJob("big", path, probed.info.sha256, None, FramesConfig())
        small = pictures(tmp_path, 1)
        (failure,) = guard.frames([job])
        assert isinstance(failure, Failure)
        assert (failure.reason, failure.attempts) == (Reason.OUT_OF_MEMORY, 2)
        assert "MMFS_GUARD__MEMORY_MB" in failure.message
        assert [type(result) for result in guard.probe(small)] == [Probed]


def test_processes_are_replaced_after_so_many_files(tmp_path: Path) -> None:
    with Guard(GuardLimits(files_per_process=2), workers=1) as guard:
        seen = set()
        for result in guard.probe(pictures(tmp_path, 5)):
            assert isinstance(result, Probed)
            seen.update(guard.pids)
    assert len(seen) == 3


def test_the_callers_own_time_counts_against_no_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("mmfs.media.pool.time.monotonic", lambda: clock[0])

    def slow_jobs() -> Iterator[ProbeJob]:
        for job in pictures(tmp_path, 6):
            clock[0] += 1000.0
            yield job

    with Guard(LIMITS, workers=1) as guard:
        answered = 0
        for result in guard.probe(slow_jobs()):
            assert isinstance(result, Probed)
            clock[0] += 1000.0
            answered += 1
    assert answered == 6


def test_a_batch_left_early_leaves_the_guard_usable(guard: Guard, tmp_path: Path) -> None:
    jobs = pictures(tmp_path, 6)
    first = guard.probe(jobs)
    next(first)
    with pytest.raises(MediaError, match="one batch at a time"):
        next(guard.probe(jobs))
    first.close()  # type: ignore[attr-defined]
    assert len(list(guard.probe(jobs))) == 6


def test_an_answer_that_makes_no_sense_ends_the_process_and_not_the_batch(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, lied = DecodingProcess.take, list[bool]()

    def take_and_lie(process: DecodingProcess) -> object:
        messages = take(process)
        if process.task and process.task.id == "1" and not lied:
            lied.append(True)
            return [({"type": "probed", "info": {"kind": "code"}}, b"")]
        return messages

    monkeypatch.setattr(DecodingProcess, "take", take_and_lie)
    results = list(guard.probe(pictures(tmp_path, 4)))
    assert lied
    assert all(isinstance(result, Probed) for result in results)
    assert len(results) == 4


def test_a_decoding_process_that_cannot_start_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.media.process.sys.executable", "/bin/false")
    with Guard(LIMITS, workers=1) as guard, pytest.raises(MediaError, match=r"exited with code 1 .*mmfs doctor"):
        list(guard.probe(pictures(tmp_path, 1)))


def test_decoding_processes_see_no_secrets_and_load_no_torch(guard: Guard, tmp_path: Path) -> None:
    list(guard.probe(pictures(tmp_path, 1)))
    code = "import sys, mmfs.media.worker as w; w._load_decoders(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("'torch'", "'pandas'", "'pydantic'", "'deltalake'", "'pyarrow'"):
        assert heavy not in loaded
    if sys.platform == "linux":
        environment = Path(f"/proc/{guard.pids[0]}/environ").read_bytes().decode()
        names = {line.partition("=")[0] for line in environment.split("\0") if line}
        assert not {name for name in names if name.startswith(("AWS_", "MMFS_", "QDRANT_"))}
        assert "OMP_NUM_THREADS" in names


def test_processes_end_with_their_guard(tmp_path: Path) -> None:
    with Guard(LIMITS, workers=1) as guard:
        list(guard.probe(pictures(tmp_path, 1)))
        (pid,) = guard.pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_playlist_named_like_a_video_opens_no_second_file(guard: Guard, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trap")  # whoever opens it waits for ever, and is found out by the deadline
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        texts = {
            "concat.mp4": f"ffconcat version 1.0\nfile '{tmp_path / 'trap'}'\n",
            "list.mp4": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXTINF:1,\n{tmp_path / 'trap'}\n",
            "dash.mp4": f"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>",
            "drawing.png": f"<svg><image href='file://{tmp_path / 'trap'}'/></svg>",
        }
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        results = list(guard.probe(ProbeJob(name, tmp_path / name) for name in texts))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert {result.id: getattr(result, "reason", None) for result in results} == dict.fromkeys(texts, Reason.FORBIDDEN)
