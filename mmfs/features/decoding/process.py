"""The runner's side of one decoding process: start, give it tasks, hear it, end it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mmfs.features.decoding.ring import NO_CLAIM, Ring, task_and_blob
from mmfs.media import wire
from mmfs.media.child import end_child

_RECEIVE_BYTES = 1 << 20

#: A blob to decode: codec, pack, offset, length, crc32; None where it is given up.
Blob = tuple[str, str, int, int, int]


@dataclass
class Task:
    """Blobs on their way to being arrays in one region.

    Attributes:
        blobs: What to decode; a blob that is given up becomes None.
        region: Where they go, once there is room.
        answer: What the process said; None until then.
        failed: Why blobs were given up, by their number: whether a deadline ran out, and how the process ended.
        suspects: How often a process was lost at a blob, by its number.
        losses: How often a process was lost before it was at any.
    """

    id: int
    store: str
    blobs: list[Blob | None]
    region: int | None = None
    answer: dict[str, Any] | None = None
    failed: dict[int, tuple[bool, str]] = field(default_factory=dict)
    suspects: dict[int, int] = field(default_factory=dict)
    losses: int = 0


class DecodeProcess:
    """A running child. ``slot`` is its place among the claims; ``tasks`` are those it was given, oldest first."""

    def __init__(self, ring: Ring, slot: int) -> None:
        self._ring = ring
        self.slot = slot
        ring.claims[slot] = NO_CLAIM
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        # Decoding is one thread's work; idle threads of linear algebra would only cost memory.
        environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
        with theirs:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "mmfs.features.decoding.worker",
                    str(theirs.fileno()),
                    str(ring.descriptor),
                ],
                pass_fds=(theirs.fileno(), ring.descriptor),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
            )
        self.socket = ours
        self._inbox = wire.Inbox()
        self.is_ready = False
        self.tasks: deque[Task] = deque()
        self.heard = time.monotonic()
        with contextlib.suppress(OSError):
            wire.send(ours, {"regions": ring.regions, "region_bytes": ring.region_bytes, "slot": slot})

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def give(self, task: Task) -> None:
        """Hand over a task. That the process is dead shows when its answer is awaited."""
        if not self.tasks:
            self.heard = time.monotonic()
        self.tasks.append(task)
        with contextlib.suppress(OSError):
            wire.send(self.socket, {"id": task.id, "store": task.store, "region": task.region, "blobs": task.blobs})

    def hear(self) -> bool:
        """Take what it has said; False when it is gone or speaks no sense."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
            if not data:
                return False
            for header, _ in self._inbox.feed(data):
                self.heard = time.monotonic()
                if header.get("type") == "ready":
                    self.is_ready = True
                elif self.tasks and header.get("id") == self.tasks[0].id:
                    self.tasks.popleft().answer = header
                else:
                    return False
        except (ConnectionError, wire.WireError):
            return False
        return True

    def claimed(self) -> int | None:
        """The blob of its oldest task that it is at, by its number; None before the first."""
        claim = int(self._ring.claims[self.slot])
        if claim == NO_CLAIM or not self.tasks or task_and_blob(claim)[0] != self.tasks[0].id:
            return None
        return task_and_blob(claim)[1]

    def end(self) -> str:
        """Kill it and say how it ended."""
        self.socket.close()
        return end_child(self._child, self._stderr)
