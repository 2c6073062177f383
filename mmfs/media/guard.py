"""The guard: runs untrusted bytes through decoding processes and always says what became of each.

Every job gets exactly one answer. A process works on one job at a time, so its death names the job. A job whose
process died, ran out of memory or out of time is tried once more, alone in a fresh process, after all others; then
it is a `Failure`.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mmfs.errors import MediaError
from mmfs.media import wire
from mmfs.media.info import Failure, FrameJob, Probed, ProbeJob, Reason, Sampled
from mmfs.media.process import DecodingProcess, Task, must_start

if TYPE_CHECKING:
    from mmfs.settings import GuardLimits

_MAX_WORKERS = 8
_START_DEADLINE_S = 120.0
#: Reading and hashing is granted at this rate on top of the limits, so that size alone times nothing out.
_READ_BYTES_PER_S = 16 << 20
#: Playing times come from the file; a lie may not buy more than this.
_MAX_DEADLINE_S = 3600.0
_ATTEMPTS = 2
_RETRIED = frozenset({Reason.CRASHED, Reason.TIMEOUT, Reason.OUT_OF_MEMORY})

Outcome = Probed | Sampled | Failure


class Guard:
    """Decoding processes behind limits; a context manager.

    Args:
        limits: What a process may use.
        workers: Processes at once; default one a core, at most 8. They start when there is work for them.
    """

    def __init__(self, limits: GuardLimits, *, workers: int | None = None) -> None:
        self._limits = limits
        self._size = workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        self._processes: list[DecodingProcess] = []
        self._selector = selectors.DefaultSelector()
        self._versions: dict[str, str] = {}
        self._idle_s = 0.0
        self._is_running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        while self._processes:
            self._end(self._processes[0])
        self._selector.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the running decoding processes."""
        return [process.pid for process in self._processes]

    def probe(self, jobs: Iterable[ProbeJob]) -> Iterator[Probed | Failure]:
        """Measure files. Results come in any order, exactly one a job.

        Jobs are drawn as processes become free, so ``jobs`` may be a long generator.
        """
        for outcome in self._run(self._task(job.id, job.path, None, {"type": "probe"}) for job in jobs):
            assert not isinstance(outcome, Sampled)
            yield outcome

    def frames(self, jobs: Iterable[FrameJob]) -> Iterator[Sampled | Failure]:
        """Sample the frames of files. Results come in any order, exactly one a job."""
        tasks = (
            self._task(
                job.id,
                job.path,
                job.duration_s,
                {"type": "frames", "sha256": job.sha256, "sampling": job.sampling.model_dump()},
            )
            for job in jobs
        )
        for outcome in self._run(tasks):
            assert not isinstance(outcome, Probed)
            yield outcome

    def _task(self, job_id: str, path: Path, duration_s: float | None, message: dict[str, Any]) -> Task:
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        limits = self._limits
        deadline_s = limits.deadline_s + limits.deadline_per_second * (duration_s or 0.0) + size / _READ_BYTES_PER_S
        return Task(job_id, {**message, "path": str(path)}, min(deadline_s, max(limits.deadline_s, _MAX_DEADLINE_S)))

    def _run(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        if self._is_running:
            raise MediaError(
                "a guard runs one batch at a time", mend="exhaust the first iterator, or use a second Guard"
            )
        self._is_running = True
        again: deque[Task] = deque()
        upcoming = next(tasks, None)
        try:
            while upcoming or again or self._busy():
                while upcoming and (process := self._free()):
                    self._give(process, upcoming)
                    upcoming = next(tasks, None)
                if again and not upcoming and not self._busy():
                    self._give(self._fresh(), again.popleft())
                for task, outcome in self._wait():
                    if isinstance(outcome, Failure) and outcome.reason in _RETRIED and task.attempts < _ATTEMPTS:
                        again.append(task)
                        continue
                    if upcoming and (process := self._free()):
                        self._give(process, upcoming)
                        upcoming = next(tasks, None)
                    paused = time.monotonic()
                    yield outcome
                    # The caller's own time counts against no deadline: a process may only be waiting to be read.
                    self._idle_s += time.monotonic() - paused
        finally:
            self._is_running = False
            for process in self._busy():
                self._end(process)

    def _now(self) -> float:
        return time.monotonic() - self._idle_s

    def _busy(self) -> list[DecodingProcess]:
        return [process for process in self._processes if process.task]

    def _free(self) -> DecodingProcess | None:
        """An idle process; starts another (ready later) when there is none and room for one."""
        for process in [process for process in self._processes if process.is_idle]:
            if process.served < self._limits.files_per_process:
                return process
            self._end(process)
        if len(self._processes) < self._size and all(process.is_ready for process in self._processes):
            self._start()
        return None

    def _fresh(self) -> DecodingProcess:
        """A process that has served nothing, ready."""
        for process in list(self._processes):
            self._end(process)
        process = self._start()
        while not process.is_ready:
            self._wait()
        return process

    def _start(self) -> DecodingProcess:
        limits = self._limits
        start = {
            "memory_bytes": limits.memory_mb << 20,
            "caps": {"image_pixels": limits.image_pixels, "video_side": limits.video_side},
        }
        process = DecodingProcess(start, due=self._now() + _START_DEADLINE_S)
        self._processes.append(process)
        self._selector.register(process.socket, selectors.EVENT_READ, process)
        return process

    def _end(self, process: DecodingProcess) -> str:
        self._processes.remove(process)
        self._selector.unregister(process.socket)
        return process.end()

    def _give(self, process: DecodingProcess, task: Task) -> None:
        process.give(task, due=self._now() + task.deadline_s)

    def _wait(self) -> list[tuple[Task, Outcome]]:
        """Wait for the next answer, start, death or deadline; returns the outcomes that came of it."""
        waiting = [process for process in self._processes if process.task or not process.is_ready]
        due = min((process.due for process in waiting), default=self._now())
        outcomes: list[tuple[Task, Outcome]] = []
        for key, _ in self._selector.select(max(0.0, due - self._now())):
            outcomes += self._hear(key.data)
        for process in waiting:
            if process in self._processes and process.due <= self._now():
                outcomes += self._overdue(process)
        return outcomes

    def _hear(self, process: DecodingProcess) -> list[tuple[Task, Outcome]]:
        try:
            messages = process.take()
            if messages is None:
                return self._lost(process, self._end(process) if process.is_ready else None)
            return [found for header, body in messages if (found := self._read(process, header, body))]
        except wire.WireError as error:
            return self._lost(process, f"the decoding process answered {error}; {self._end(process)}")

    def _read(self, process: DecodingProcess, header: dict[str, Any], body: bytes) -> tuple[Task, Outcome] | None:
        kind, task = header.get("type"), process.task
        if kind == "ready" and not process.is_ready:
            process.is_ready = True
            self._versions = {str(name): str(version) for name, version in header.get("versions", {}).items()}
            return None
        if task is None:
            raise wire.WireError("without being asked")
        if kind == "frame":
            task.frames.append(wire.parse_frame(header.get("frame"), body))
            return None
        outcome: Outcome
        if kind == "probed":
            outcome = Probed(task.id, wire.parse_info(header.get("info")))
        elif kind == "sampled":
            outcome = Sampled(task.id, task.frames, int(header.get("salvaged", 0)))
        elif kind == "failure" and header.get("reason") in set(Reason):
            outcome = self._failure(task, Reason(header["reason"]), str(header.get("message")))
        else:
            raise wire.WireError(f"a message of type {kind!r}")
        process.task = None
        return task, outcome

    def _lost(self, process: DecodingProcess, how: str | None) -> list[tuple[Task, Outcome]]:
        if how is None:
            self._processes.remove(process)
            self._selector.unregister(process.socket)
            raise must_start(process)
        if process.task is None:
            return []
        reason = Reason.TIMEOUT if "SIGXCPU" in how else Reason.CRASHED
        return [(process.task, self._failure(process.task, reason, how))]

    def _overdue(self, process: DecodingProcess) -> list[tuple[Task, Outcome]]:
        if process.task is None:
            return self._lost(process, None)
        self._end(process)
        task = process.task
        return [(task, self._failure(task, Reason.TIMEOUT, f"not done after {task.deadline_s:.1f} s"))]

    def _failure(self, task: Task, reason: Reason, message: str) -> Failure:
        return Failure(task.id, reason, message, task.attempts, self._versions)
