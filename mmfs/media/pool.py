"""A pool of decoding processes: starts them, hears them, ends those that are late, and names the job each lost."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmfs.media import wire
from mmfs.media.info import Failure, Probed, Reason, Sampled, Windowed
from mmfs.media.process import DecodingProcess, Task, must_start

if TYPE_CHECKING:
    from mmfs.settings import GuardLimits

_START_DEADLINE_S = 120.0
_MESSAGE_CHARACTERS = 2000

Outcome = Probed | Sampled | Windowed | Failure


class Pool:
    """At most ``size`` processes, each at one task at a time."""

    def __init__(self, limits: GuardLimits, size: int) -> None:
        self._limits = limits
        self._size = size
        self._processes: list[DecodingProcess] = []
        self._selector = selectors.DefaultSelector()
        self._versions: dict[str, str] = {}
        self._paused_s = 0.0

    @property
    def pids(self) -> list[int]:
        """Ids of the running processes."""
        return [process.pid for process in self._processes]

    @property
    def is_busy(self) -> bool:
        """Whether any task is being worked on."""
        return any(process.task for process in self._processes)

    def idle(self, wanted: int) -> list[DecodingProcess]:
        """Processes that can take a task now; starts others, ready later, as far as ``wanted`` and room go."""
        worn = [p for p in self._processes if p.is_idle and p.served >= self._limits.files_per_process]
        for process in worn:
            self._end(process)
        coming = sum(not process.task for process in self._processes)
        for _ in range(min(wanted - coming, self._size - len(self._processes))):
            self._start()
        return [process for process in self._processes if process.is_idle]

    def give_alone(self, task: Task) -> None:
        """Give a task to a process that has served nothing, with no other beside it."""
        while self._processes:
            self._end(self._processes[0])
        process = self._start()
        while not process.is_ready:
            self.wait()
        self.give(process, task)

    def give(self, process: DecodingProcess, task: Task) -> None:
        """Hand a task to an idle process; its deadline runs from now."""
        process.give(task, due=self._now() + task.deadline_s)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock of the deadlines: a process may only be waiting to be heard."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._paused_s += time.monotonic() - began

    def wait(self) -> list[tuple[Task, Outcome]]:
        """Wait for the next answer, start, death or deadline; returns the tasks that are done, with what came of each.

        Raises:
            MediaError: A process does not start.
        """
        waiting = [process for process in self._processes if not process.is_idle]
        due = min((process.due for process in waiting), default=self._now())
        outcomes: list[tuple[Task, Outcome]] = []
        for key, _ in self._selector.select(max(0.0, due - self._now())):
            outcomes += self._hear(key.data)
        for process in waiting:
            if process in self._processes and not process.is_idle and process.due <= self._now():
                how = self._lose(process)
                if process.task:
                    message = f"not done after {process.task.deadline_s:.1f} s"
                    outcomes.append(self._failed(process.task, Reason.TIMEOUT, f"{message}; {how}"))
        return outcomes

    def drop_busy(self) -> None:
        """End the processes that are at work."""
        for process in [process for process in self._processes if process.task]:
            self._end(process)

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.kill()
        while self._processes:
            self._end(self._processes[0])
        self._selector.close()

    def _now(self) -> float:
        return time.monotonic() - self._paused_s

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

    def _end(self, process: DecodingProcess) -> None:
        self._forget(process)
        process.bury()

    def _forget(self, process: DecodingProcess) -> None:
        self._processes.remove(process)
        self._selector.unregister(process.socket)

    def _lose(self, process: DecodingProcess) -> str:
        """End a process that is dead, late or mad; says how it ended."""
        self._forget(process)
        how = process.end()
        if not process.is_ready:
            raise must_start(how)
        return how

    def _hear(self, process: DecodingProcess) -> list[tuple[Task, Outcome]]:
        said, reason = "", Reason.CRASHED
        try:
            messages = process.take()
            if messages is not None:
                return [done for header, body in messages if (done := self._read(process, header, body))]
        except wire.WireError as error:
            said = f"it answered {error}; "
        how = self._lose(process)
        if "SIGXCPU" in how:
            reason = Reason.TIMEOUT
        return [self._failed(process.task, reason, said + how)] if process.task else []

    def _read(self, process: DecodingProcess, header: dict[str, Any], body: bytes) -> tuple[Task, Outcome] | None:
        """Take one message; returns the task with its outcome when it is the last about it."""
        kind, task = header.get("type"), process.task
        if kind == "ready" and not process.is_ready:
            process.is_ready = True
            self._versions = wire.parse_versions(header.get("versions"))
            return None
        if task is None:
            raise wire.WireError(f"a message of type {kind!r} without being asked")
        if kind == "frame":
            task.frames.append(wire.parse_frame(header.get("frame"), body))
            return None
        if kind == "window":
            task.windows.append(wire.parse_window(header.get("window"), body))
            return None
        if kind == "probed":
            done: tuple[Task, Outcome] = task, Probed(task.id, wire.parse_info(header.get("info")))
        elif kind == "sampled" and isinstance(header.get("salvaged"), int):
            done = task, Sampled(task.id, task.frames, header["salvaged"])
        elif kind == "windowed" and isinstance(header.get("salvaged"), int):
            done = task, Windowed(task.id, task.windows, header["salvaged"])
        elif kind == "failure" and header.get("reason") in set(Reason):
            done = self._failed(task, Reason(header["reason"]), str(header.get("message")))
        else:
            raise wire.WireError(f"a message of type {kind!r}")
        process.task = None
        return done

    def _failed(self, task: Task, reason: Reason, message: str) -> tuple[Task, Failure]:
        # Decoders quote the file, so what they say is shown without line breaks and terminal codes.
        clean = "".join(letter if letter.isprintable() else " " for letter in message[:_MESSAGE_CHARACTERS])
        return task, Failure(task.id, reason, clean, task.attempts, self._versions)
