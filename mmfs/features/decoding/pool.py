"""Decoding processes and their ring: tasks in, arrays in shared memory out, in the order they are asked for.

Everything happens in the calling thread; processes work on what they were given while it is elsewhere. A process that
dies or does not answer in time is replaced, and its tasks are done again. A blob that cost two processes is given up.
"""

from __future__ import annotations

import atexit
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from mmfs.errors import FeatureError
from mmfs.features.decoding.process import Blob, DecodeProcess, Task
from mmfs.features.decoding.ring import Ring

_REGION_BYTES = 64 << 20
#: Tasks a process is given before it has answered: one at work, one to go on with.
_TASKS_EACH = 2
_DEADLINE_S = 120.0
_ATTEMPTS = 2


class DecodePool:
    """At most ``workers`` processes; they start at the first task.

    Args:
        region_bytes: What the arrays of one task may take; a task with more is done in part.
        deadline_s: How long a process may work on one task.
    """

    def __init__(self, workers: int, *, region_bytes: int = _REGION_BYTES, deadline_s: float = _DEADLINE_S) -> None:
        self.workers = workers
        #: Tasks that can be under way or waiting to be taken; the bound of the queue.
        self.depth = _TASKS_EACH * workers + 2
        self._deadline_s = deadline_s
        self._ring = Ring(self.depth, region_bytes)
        self._processes: list[DecodeProcess] = []
        self._waiting: deque[Task] = deque()
        self._selector = selectors.DefaultSelector()
        self._ids = count()
        self._failed_starts = 0

    @property
    def ring(self) -> Ring:
        """Where arrays lie."""
        return self._ring

    @property
    def pids(self) -> list[int]:
        """Ids of the running processes."""
        return [process.pid for process in self._processes]

    def start(self) -> None:
        """Start the processes, so that they are ready by the time there are tasks."""
        while len(self._processes) < self.workers:
            taken = {process.slot for process in self._processes}
            slot = next(slot for slot in range(self.workers) if slot not in taken)
            process = DecodeProcess(self._ring, slot)
            self._processes.append(process)
            self._selector.register(process.socket, selectors.EVENT_READ, process)

    def submit(self, store: str, blobs: Sequence[Blob], *, first: bool = False) -> Task:
        """Have blobs decoded. At most `depth` tasks may be held at a time; give each back with `release`.

        Args:
            store: URL of the store that the packs are in.
            first: Before all others that wait.
        """
        task = Task(next(self._ids), store, list(blobs))
        (self._waiting.appendleft if first else self._waiting.append)(task)
        self._hear(0.0)
        return task

    def result(self, task: Task) -> Task:
        """Wait until a task is answered.

        Raises:
            FeatureError: Decoding processes do not start.
        """
        while task.answer is None:
            self._hear(self._patience())
        return task

    def release(self, task: Task) -> None:
        """Let a task's region be used again; its arrays are gone."""
        if task.region is not None:
            self._ring.give_back(task.region)
            task.region = None
        self._hand_out()

    def close(self) -> None:
        """End all processes."""
        while self._processes:
            self._end(self._processes[0])
        self._selector.close()
        self._ring.close()

    def _hear(self, timeout_s: float) -> None:
        self._hand_out()
        for key, _ in self._selector.select(timeout_s):
            process: DecodeProcess = key.data
            if not process.hear():
                self._lose(process, is_late=False)
        # Only after hearing: the answers of a while ago count.
        for process in [process for process in self._processes if process.tasks]:
            if time.monotonic() - process.heard > self._deadline_s:
                self._lose(process, is_late=True)
        self._hand_out()

    def _hand_out(self) -> None:
        if self._waiting:
            self.start()
        while self._waiting:
            process = min(self._processes, key=lambda process: len(process.tasks))
            task = self._waiting[0]
            if len(process.tasks) >= _TASKS_EACH or (task.region is None and not self._ring.free):
                return
            self._waiting.popleft()
            if task.region is None:
                task.region = self._ring.take()
            process.give(task)

    def _patience(self) -> float:
        due = [process.heard + self._deadline_s for process in self._processes if process.tasks]
        return max(0.0, min(due, default=time.monotonic()) - time.monotonic())

    def _lose(self, process: DecodeProcess, *, is_late: bool) -> None:
        """Replace a process that is dead, late or mad; what it was at is suspected."""
        suspect = process.claimed()
        how = self._end(process)
        self._failed_starts = 0 if process.is_ready else self._failed_starts + 1
        if self._failed_starts > _ATTEMPTS:
            raise FeatureError(how, where="starting a decoding process", mend="pip install 'mmfs[compute]'")
        if suspect is None and process.tasks:
            process.tasks[0].losses += 1
            if process.tasks[0].losses > _ATTEMPTS:
                raise FeatureError(
                    how,
                    where=f"reading {process.tasks[0].blobs[0]}",
                    mend="look for what ends processes here: the memory limit of the container, an unreachable bucket",
                )
        if suspect is not None:
            task = process.tasks[0]
            task.suspects[suspect] = task.suspects.get(suspect, 0) + 1
            if task.suspects[suspect] == _ATTEMPTS:
                task.blobs[suspect] = None
                late = f"not done after {self._deadline_s:g} s; " if is_late else ""
                task.failed[suspect] = (is_late, late + how)
        self._waiting.extendleft(reversed(process.tasks))

    def _end(self, process: DecodeProcess) -> str:
        self._processes.remove(process)
        self._selector.unregister(process.socket)
        return process.end()


#: What a pool is kept for: its process, its size, and the variables that its processes were started with.
Key = tuple[int, int, tuple[tuple[str, str], ...]]
_idle: dict[Key, DecodePool] = {}
_lock = threading.Lock()


@contextmanager
def decode_pool(workers: int) -> Iterator[DecodePool]:
    """A pool for the time of one run. Its processes stay for the next run, since starting them costs more than a small
    shard does; they end with this process.

    Args:
        workers: Processes at once.
    """
    # Processes keep the environment that they were started in, and with it the credentials of buckets.
    environment = sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "_MMFS")))
    key = os.getpid(), workers, tuple(environment)
    with _lock:
        kept = _idle.pop(key, None)
    pool = kept or DecodePool(workers)
    try:
        yield pool
    except BaseException:
        pool.close()
        raise
    with _lock:
        old, _idle[key] = _idle.pop(key, None), pool
        others = [name for name in _idle if name[0] == os.getpid() and name != key]
        ended = [_idle.pop(name) for name in others] + ([old] if old else [])
    for other in ended:
        other.close()


@atexit.register
def _close_idle() -> None:
    """End the pool that is kept. Not one of a process that this one was forked from: its processes are at work."""
    for key in [key for key in _idle if key[0] == os.getpid()]:
        _idle.pop(key).close()
