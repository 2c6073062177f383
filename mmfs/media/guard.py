"""The guard: runs untrusted bytes through decoding processes and always says what became of each.

Every job gets exactly one answer. A process works on one job at a time, so its death names the job. A job whose
process died, ran out of memory or out of time is tried once more, alone in a fresh process, after all others; then
it is a `Failure`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mmfs.errors import MediaError
from mmfs.media.info import Failure, FrameJob, Probed, ProbeJob, Reason, Sampled, SoundJob, Windowed
from mmfs.media.pool import Outcome, Pool
from mmfs.media.process import Task

if TYPE_CHECKING:
    from mmfs.settings import GuardLimits

_MAX_WORKERS = 8
#: Reading and hashing is granted at this rate on top of the limits, so that size alone times nothing out.
_READ_BYTES_PER_S = 16 << 20
#: Playing times come from the file; a lie may not buy more than this.
_MAX_DEADLINE_S = 3600.0
_ATTEMPTS = 2
_RETRIED = frozenset({Reason.CRASHED, Reason.TIMEOUT, Reason.OUT_OF_MEMORY})


class Guard:
    """Decoding processes behind limits; a context manager, used by one thread at a time.

    Args:
        limits: What a process may use.
        workers: Processes at once; default one a core, at most 8. They start when there is work for them.
    """

    def __init__(self, limits: GuardLimits, *, workers: int | None = None) -> None:
        self._limits = limits
        self._size = workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        self._pool = Pool(limits, self._size)
        self._is_running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self._pool.close()

    @property
    def pids(self) -> list[int]:
        """Ids of the running decoding processes."""
        return self._pool.pids

    def probe(self, jobs: Iterable[ProbeJob]) -> Iterator[Probed | Failure]:
        """Measure files. Results come in any order, exactly one a job.

        Jobs are drawn as processes become free, so ``jobs`` may be a long generator; the time it takes, and the time
        the caller takes between results, count against no deadline.

        Raises:
            MediaError: A decoding process cannot start, or another batch of this guard is not finished.
        """
        for outcome in self._run(self._task(job.id, job.path, None, {"type": "probe"}) for job in jobs):
            assert isinstance(outcome, Probed | Failure)
            yield outcome

    def frames(self, jobs: Iterable[FrameJob]) -> Iterator[Sampled | Failure]:
        """Sample the frames of files; as `probe`."""
        for outcome in self._run(self._frame_task(job) for job in jobs):
            assert isinstance(outcome, Sampled | Failure)
            yield outcome

    def sound(self, jobs: Iterable[SoundJob]) -> Iterator[Windowed | Failure]:
        """Cut the sound of files into windows; as `probe`."""
        for outcome in self._run(self._sound_task(job) for job in jobs):
            assert isinstance(outcome, Windowed | Failure)
            yield outcome

    def _frame_task(self, job: FrameJob) -> Task:
        message = {"type": "frames", "sha256": job.sha256, "sampling": job.sampling.model_dump()}
        return self._task(job.id, job.path, job.duration_s, message)

    def _sound_task(self, job: SoundJob) -> Task:
        message = {"type": "sound", "sha256": job.sha256, "windowing": job.windowing.model_dump()}
        return self._task(job.id, job.path, job.duration_s, message)

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
            raise MediaError("a guard runs one batch at a time", mend="exhaust the first, or use a second Guard")
        self._is_running = True
        upcoming: deque[Task] = deque()
        again: deque[Task] = deque()
        try:
            self._hand_out(tasks, upcoming)
            while upcoming or again or self._pool.is_busy:
                if not upcoming and not self._pool.is_busy:
                    self._pool.give_alone(again.popleft())
                for task, outcome in self._pool.wait():
                    # The next job goes out before this result, so that no process waits for the caller.
                    self._hand_out(tasks, upcoming)
                    if isinstance(outcome, Failure) and outcome.reason in _RETRIED and task.attempts < _ATTEMPTS:
                        again.append(task)
                        continue
                    with self._pool.paused():
                        yield outcome
                self._hand_out(tasks, upcoming)
        finally:
            self._is_running = False
            self._pool.drop_busy()

    def _hand_out(self, tasks: Iterator[Task], upcoming: deque[Task]) -> None:
        """Draw tasks up to one a process, and give them to the processes that are idle."""
        with self._pool.paused():
            upcoming.extend(islice(tasks, self._size - len(upcoming)))
        if upcoming:
            for process in self._pool.idle(len(upcoming)):
                if upcoming:
                    self._pool.give(process, upcoming.popleft())
