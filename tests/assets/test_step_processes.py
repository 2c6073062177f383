"""Steps beside their run: what becomes of those that do not end by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from subprocess import PIPE

import pytest

from mmfs_assets.execution.step_processes import StepProcesses

GARBAGE = {"DAGSTER_COMPRESSED_EXECUTE_STEP_ARGS": "no arguments of a step"}
WAITS = "print(flush=True); import sys; sys.stdin.read()"
FOLLOWS = (
    "import sys; from mmfs_assets.execution.step_processes import _end_with;"
    "print(flush=True); _end_with(int(sys.argv[1]))"
)


def _wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.cluster
def test_steps_that_fail_die_or_wait_are_told_apart() -> None:
    steps = StepProcesses(at_once=1)
    assert steps.problem("gone") == "it was begun by a process that is gone"
    steps.start("fails", GARBAGE)
    steps.start("dies", GARBAGE)
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
