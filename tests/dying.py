"""Decoding processes that die at work, as they do where a machine has too little memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from mmfs.media.process import DecodingProcess, Task


@contextmanager
def dying(kind: Literal["probe", "frames", "sound"]) -> Iterator[None]:
    """Every process that is given a job of this kind is killed, so that its file is given up as crashed."""
    give = DecodingProcess.give

    def give_and_kill(process: DecodingProcess, task: Task, *, due: float) -> None:
        is_meant = task.message["type"] == kind
        if is_meant:  # stopped before it can begin, so that it is at work when it dies however fast it is
            os.kill(process.pid, signal.SIGSTOP)
        give(process, task, due=due)
        if is_meant:
            os.kill(process.pid, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DecodingProcess, "give", give_and_kill)
        yield
