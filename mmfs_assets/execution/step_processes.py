"""Steps in processes beside the run that they belong to. They start from one process that has the code loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from threading import Thread
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
        self._steps: dict[str, Future[int]] = {}
        self._processes: dict[str, ForkServerProcess] = {}

    def start(self, step: str, environment: Mapping[str, str]) -> None:
        """Begin a step, or begin it anew.

        Args:
            environment: Variables that say what to do, as ``dagster api execute_step`` reads them.
        """
        self._steps[step] = self._threads.submit(self._work, step, dict(environment))

    def problem(self, step: str) -> str | None:
        """What became of a step that did not end by itself; None while all is well."""
        if step not in self._steps:
            return "it was begun by a process that is gone"
        future = self._steps[step]
        if not future.done() or future.cancelled():
            return None
        code = future.result()
        return f"its process ended with exit code {code}" if code else None

    def stop(self, step: str) -> None:
        """End a step that works, or forget one that waits."""
        if step in self._steps and not self._steps[step].cancel() and step in self._processes:
            self._processes[step].terminate()

    def _work(self, step: str, environment: Mapping[str, str]) -> int:
        process = self._context.Process(target=_execute_step, args=(os.getpid(), environment), name=step)
        self._processes[step] = process
        process.start()
        process.join()
        return process.exitcode or 0


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
