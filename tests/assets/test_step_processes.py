"""Steps beside their run: what becomes of those that do not end by themselves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import active_children
from subprocess import PIPE
from threading import Event
from types import SimpleNamespace

import pytest

from mmfs_assets.execution import step_processes
from mmfs_assets.execution.step_processes import StepProcesses

GARBAGE = {"DAGSTER_COMPRESSED_EXECUTE_STEP_ARGS": "no arguments of a step"}
WAITS = "print(flush=True); import sys; sys.stdin.read()"
FOLLOWS = (
    "import sys; from mmfs_assets.execution.step_processes import _end_with;"
    "print(flush=True); _end_with(int(sys.argv[1]))"
)


class _Process:
    """A process that needs none: starts, and ends with an exit code, as it is told."""

    def __init__(self, exitcode: int = 0, error: OSError | None = None) -> None:
        self.exitcode = exitcode
        self.error = error
        self.starting, self.may_start, self.terminated = Event(), Event(), Event()
        self.may_start.set()

    def start(self) -> None:
        self.starting.set()
        self.may_start.wait(60)
        if self.error:
            raise self.error

    def join(self) -> None:
        if self.exitcode == -15:
            self.terminated.wait(60)

    def terminate(self) -> None:
        self.terminated.set()


def _steps(*processes: _Process) -> StepProcesses:
    """These in the place of the processes that are started one after the other."""
    steps, given = StepProcesses(at_once=2), iter(processes)
    steps._context = SimpleNamespace(Process=lambda **_: next(given))  # type: ignore[assignment]
    return steps


def _wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _works_on(run_worker: int, environment: Mapping[str, str]) -> None:
    """A step that does not end before its run."""
    step_processes._end_with(run_worker)


@pytest.mark.cluster
def test_steps_that_fail_die_or_wait_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = StepProcesses(at_once=1)
    assert steps.problem("gone") == "it was begun by a process that is gone"
    steps.start("fails", GARBAGE)
    with monkeypatch.context() as patch:
        patch.setattr(step_processes, "_execute_step", _works_on)
        steps.start("dies", {})
    steps.start("waits", GARBAGE)
    steps.stop("waits")
    assert steps.problem("waits") is None
    _wait_for(lambda: steps.problem("fails"))
    assert steps.problem("fails") == "its process ended with exit code 1"
    _wait_for(lambda: [child for child in active_children() if child.name == "dies"])
    [child] = [child for child in active_children() if child.name == "dies"]
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    _wait_for(lambda: steps.problem("dies"))
    assert steps.problem("dies") == "its process ended with exit code -9"
    steps.start("dies", GARBAGE)
    assert steps.problem("dies") is None
    _wait_for(lambda: steps.problem("dies"))


def test_a_process_that_cannot_be_started_is_a_problem_of_its_step() -> None:
    steps = _steps(_Process(error=BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")))
    steps.start("frames", {})
    _wait_for(lambda: steps.problem("frames"))
    assert steps.problem("frames") == ("its process could not be started: [Errno 11] Resource temporarily unavailable")


def test_a_process_that_ended_without_a_word_is_a_problem_at_the_second_look() -> None:
    steps = _steps(_Process(), _Process())
    for _ in range(2):
        steps.start("frames", {})
        _, future = steps._steps["frames"]
        future.result(60)
        assert steps.problem("frames") is None
        assert steps.problem("frames") == "its process ended and left no event of that"


def test_a_step_that_is_stopped_while_it_starts_is_ended_when_it_has() -> None:
    first, again = _Process(), _Process(exitcode=-15)
    again.may_start.clear()
    steps = _steps(first, again)
    steps.start("frames", {})
    _wait_for(lambda: steps.problem("frames"))
    steps.start("frames", {})
    assert again.starting.wait(60)
    steps.stop("frames")
    assert not again.terminated.is_set()
    again.may_start.set()
    _wait_for(lambda: steps.problem("frames"))
    assert again.terminated.is_set()
    assert not first.terminated.is_set()
    assert steps.problem("frames") == "its process ended with exit code -15"


def test_a_step_ends_with_the_process_of_its_run() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", WAITS], stdin=PIPE, stdout=PIPE) as run_worker,
        subprocess.Popen([sys.executable, "-c", FOLLOWS, str(run_worker.pid)], stdout=PIPE) as step,
    ):
        assert step.stdout is not None
        assert step.stdout.readline() == b"\n"
        assert step.poll() is None
        run_worker.kill()
        run_worker.wait()
        assert step.wait(30) == 1
