"""The guard's side of one decoding process: start, give it a job, take what it says, end it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from mmfs.errors import MediaError
from mmfs.media import wire
from mmfs.media.child import end_child
from mmfs.media.info import DecodedFrame, SoundWindow

_RECEIVE_BYTES = 1 << 20
#: The environment passed on: what finds libraries and nothing else, secrets least of all.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")


@dataclass
class Task:
    """One job on its way.

    Attributes:
        message: The job as sent.
        deadline_s: Seconds it may take.
        attempts: How often it was handed out.
    """

    id: str
    message: dict[str, Any]
    deadline_s: float
    attempts: int = 0
    frames: list[DecodedFrame] = field(default_factory=list)
    windows: list[SoundWindow] = field(default_factory=list)


class DecodingProcess:
    """A running child. ``task`` is what it works on; ``due`` is when, on the guard's clock, it must be done."""

    def __init__(self, start: dict[str, Any], *, due: float) -> None:
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        # Idle threads of linear algebra would reserve gigabytes of the limited address space.
        environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "mmfs.media.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
            )
        self.socket = ours
        self._inbox = wire.Inbox()
        self.is_ready = False
        self.task: Task | None = None
        self.due = due
        self.served = 0
        with contextlib.suppress(OSError):
            wire.send(ours, start)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def is_idle(self) -> bool:
        """Whether it can take a job."""
        return self.is_ready and self.task is None

    def give(self, task: Task, *, due: float) -> None:
        """Hand over a job. That the process is dead shows when its answer is awaited."""
        task.attempts += 1
        task.frames, task.windows = [], []
        self.task, self.due = task, due
        self.served += 1
        with contextlib.suppress(OSError):
            wire.send(self.socket, {**task.message, "deadline_s": task.deadline_s})

    def take(self) -> list[tuple[dict[str, Any], bytes]] | None:
        """What it has said since, without waiting longer than for the first byte; None when it is gone.

        Raises:
            WireError: It speaks no sense.
        """
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except ConnectionError:
            return None
        return self._inbox.feed(data) if data else None

    def kill(self) -> None:
        """Kill it, whatever it is at; its memory is given back while others go on."""
        self._child.kill()

    def bury(self) -> None:
        """Kill it and wait until it is gone."""
        self.socket.close()
        self._stderr.close()
        self._child.kill()
        self._child.wait()

    def end(self) -> str:
        """Kill it, unless it died by itself, and say how it ended."""
        self.socket.close()
        return end_child(self._child, self._stderr)


def must_start(how: str) -> MediaError:
    """The error of a process that ended before it was ready."""
    return MediaError(how, where="starting a decoding process", mend="pip install 'mmfs[compute]', then `mmfs doctor`")
