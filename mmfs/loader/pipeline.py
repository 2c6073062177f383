"""Jobs done in parts by threads, delivered in order.

The contract: results come in the order of the jobs; at most ``ahead`` jobs are begun beyond the one that is waited
for; an exception in any thread, or in the making of jobs, is raised by the next call of `next`, and ends the pipeline;
`close` returns when the threads have left their current part.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

Result = TypeVar("Result")
Made_co = TypeVar("Made_co", covariant=True)

_CLOSE_S = 10.0
#: What the end of the process waits for all threads of all pipelines, together.
_EXIT_S = 3.0


class Job(Protocol[Made_co]):
    """Work in ``parts`` independent parts, then one `finish`, each on any thread."""

    @property
    def parts(self) -> int: ...

    def run(self, part: int) -> None: ...

    def finish(self) -> Made_co: ...


class _Entry(Generic[Result]):
    def __init__(self, job: Job[Result]) -> None:
        self.job = job
        self.left = job.parts
        self.result: Result
        self.is_done = False


class Pipeline(Generic[Result]):
    """Runs jobs on threads.

    Args:
        jobs: Made one after the other, on the threads, never two at once.
        threads: Number of threads.
        ahead: Jobs begun beyond the one being waited for.

    Attributes:
        waited_s: Seconds that `next` has waited for results.
    """

    def __init__(self, jobs: Iterator[Job[Result]], *, threads: int, ahead: int) -> None:
        self._jobs = jobs
        self._ahead = ahead
        self._changed = threading.Condition()
        self._entries: deque[_Entry[Result]] = deque()
        self._parts: deque[tuple[_Entry[Result], int]] = deque()
        self._error: BaseException | None = None
        self._is_exhausted = False
        self._is_closed = False
        self.waited_s = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"mmfs-loader-{number}", daemon=True) for number in range(threads)
        ]
        _open.add(self)
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        """The next result.

        Raises:
            StopIteration: All are delivered, or the pipeline was closed.
            BaseException: What a thread raised.
        """
        began = time.perf_counter()
        with self._changed:
            while not self._is_ready():
                self._changed.wait()
            self.waited_s += time.perf_counter() - began
            if self._error is not None:
                error, self._error, self._is_closed = self._error, None, True
                self._changed.notify_all()
                raise error
            if self._is_closed or not self._entries:
                raise StopIteration
            entry = self._entries.popleft()
            self._changed.notify_all()
            return entry.result

    def close(self, patience_s: float = _CLOSE_S) -> None:
        """End the threads; what they have not delivered is lost.

        Args:
            patience_s: How long to wait for the threads, together.
        """
        until_s = time.monotonic() + patience_s
        self._stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until_s - time.monotonic()))
        self._entries.clear()
        self._parts.clear()

    def _stop(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _is_ready(self) -> bool:
        if self._error is not None or self._is_closed:
            return True
        return self._entries[0].is_done if self._entries else self._is_exhausted

    def _work(self) -> None:
        try:
            while (task := self._next_part()) is not None:
                entry, part = task
                del task
                entry.job.run(part)
                with self._changed:
                    entry.left -= 1
                    is_last = entry.left == 0
                if is_last:
                    entry.result = entry.job.finish()
                    with self._changed:
                        entry.is_done = True
                        self._changed.notify_all()
                del entry
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _next_part(self) -> tuple[_Entry[Result], int] | None:
        with self._changed:
            while True:
                if self._is_closed or self._error is not None:
                    return None
                if self._parts:
                    return self._parts.popleft()
                if self._is_exhausted:
                    return None
                if len(self._entries) > self._ahead:
                    self._changed.wait()
                    continue
                job = next(self._jobs, None)
                if job is None:
                    self._is_exhausted = True
                    self._changed.notify_all()
                    return None
                entry = _Entry(job)
                self._entries.append(entry)
                self._parts.extend((entry, part) for part in range(job.parts))
                self._changed.notify_all()


_open: WeakSet[Pipeline[Any]] = WeakSet()


@atexit.register
def _close_all() -> None:
    """A process may end within an epoch. Threads that are in native code when Python ends would abort it."""
    until_s, pipelines = time.monotonic() + _EXIT_S, list(_open)
    for pipeline in pipelines:
        pipeline._stop()
    for pipeline in pipelines:
        pipeline.close(max(0.0, until_s - time.monotonic()))
