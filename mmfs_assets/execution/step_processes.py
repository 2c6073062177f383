"""Steps in processes beside the run that they belong to. They start from one process that has the code loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from threading import Lock, Thread
from time import sleep


class StepProcesses:
    """Works through steps, some at once; others wait for their turn.

    Args:
        at_once: Most processes.
    """

    def __init__(self, at_once: int) -> None:
        self._context = get_context("forkserver")
        # Loading code takes longer than most steps: it is loaded once, and each step begins as a copy of that.
        self._context.set_forkserver_preload(["mmfs_assets.definitions"])
        self._threads = ThreadPoolExecutor(at_once)
        self._steps: dict[str, tuple[_StepProcess, Future[int]]] = {}

    def start(self, step: str, environment: Mapping[str, str]) -> None:
        """Begin a step, or begin it anew.

        Args:
            environment: Variables that say what to do, as ``dagster api execute_step`` reads them.
        """
        process = _StepProcess(self._context, step, dict(environment))
        self._steps[step] = (process, self._threads.submit(process.work))

    def problem(self, step: str) -> str | None:
        """What became of a step that did not end by itself; None while all is well.

        Whoever asks takes up the events of the step before: one that has ended and is asked about twice has left none.
        """
        if step not in self._steps:
            return "it was begun by a process that is gone"
        process, future = self._steps[step]
        if not future.done() or future.cancelled():
            return None
        if error := future.exception():
            return f"its process could not be started: {error}"
        if code := future.result():
            return f"its process ended with exit code {code}"
        # The step may have ended since its events were taken up.
        process.looks_after_end += 1
        return "its process ended and left no event of that" if process.looks_after_end > 1 else None

    def stop(self, step: str) -> None:
        """End a step that works or is about to, or forget one that waits."""
        if step in self._steps:
            process, future = self._steps[step]
            if not future.cancel():
                process.stop()


class _StepProcess:
    """One process of a step, which may be stopped from another thread at any time.

    Attributes:
        looks_after_end: How often it was asked about since it ended without an error.
    """

    def __init__(self, context: ForkServerContext, step: str, environment: Mapping[str, str]) -> None:
        self.looks_after_end = 0
        self._process = context.Process(target=_execute_step, args=(os.getpid(), environment), name=step)
        self._lock = Lock()
        self._runs = self._stopped = False

    def work(self) -> int:
        """Start it and wait for its end; its exit code."""
        self._process.start()
        with self._lock:
            self._runs = True
            if self._stopped:
                self._process.terminate()
        self._process.join()
        return self._process.exitcode or 0

    def stop(self) -> None:
        """End it, or have it ended as soon as it has started."""
        with self._lock:
            self._stopped = True
            if self._runs:
                self._process.terminate()


def _execute_step(run_worker: int, environment: Mapping[str, str]) -> None:
    """What ``dagster api execute_step`` does; ends together with the process of its run."""
    os.environ.update(environment)
    from dagster._cli.api import execute_step_command

    Thread(target=_end_with, args=(run_worker,), daemon=True).start()
    execute_step_command.main([], standalone_mode=False)


def _end_with(process: int) -> None:
    while True:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            os._exit(1)
        sleep(1)
