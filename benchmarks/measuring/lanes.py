"""Work in a process of its own, forked before anything but torch was loaded, and stopped while others are measured.

So nothing that one side has loaded, cached or left running is in the way of another, each begins cold, and interleaved
repeats stay honest. The parent must not load what does not survive a fork: it only gives orders.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("fork")
_END_S = 3.0


class LaneError(Exception):
    """The work raised an error, took too long, or its process died."""


class Lane:
    """A process that calls one function whenever it is told to, and else stands still.

    Args:
        begin: Called once in the new process; what it returns is called with the arguments of each `call`.
        limit_s: A call that takes longer has failed.
    """

    def __init__(self, begin: Callable[[], Callable[..., Any]], *, limit_s: float = 120.0) -> None:
        self._limit_s = limit_s
        self._here, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(there, begin), daemon=False)
        self._process.start()
        there.close()
        self._receive()  # its process group is its own now
        self._signal(signal.SIGSTOP)

    def call(self, *arguments: Any) -> Any:
        """What the function returns.

        Raises:
            LaneError: It raised an error, took too long, or its process died.
        """
        self._signal(signal.SIGCONT)
        try:
            self._here.send(arguments)
            return self._receive()
        finally:
            self._signal(signal.SIGSTOP)

    def let_run(self) -> None:
        """Let it go on by itself: it serves others."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process, and all that it started."""
        self._signal(signal.SIGCONT)
        with suppress(OSError):
            self._here.send(None)
        self._process.join(_END_S)
        self._signal(signal.SIGKILL)
        self._process.join()
        self._here.close()

    def _receive(self) -> Any:
        try:
            if not self._here.poll(self._limit_s):
                raise LaneError(f"no answer after {self._limit_s:.0f} s")
            is_well, result = self._here.recv()
        except (EOFError, OSError) as error:
            raise LaneError("its process died") from error
        if not is_well:
            raise LaneError(result)
        return result

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, number)


@contextmanager
def lane(begin: Callable[[], Callable[..., Any]], *, limit_s: float = 120.0) -> Iterator[Lane]:
    """A lane that is closed at the end."""
    made = Lane(begin, limit_s=limit_s)
    try:
        yield made
    finally:
        made.close()


def once(function: Callable[..., Any], *arguments: Any, limit_s: float = 300.0) -> Any:
    """What a function returns in a fresh process.

    Raises:
        LaneError: It raised an error, took too long, or its process died.
    """
    with lane(lambda: function, limit_s=limit_s) as fresh:
        return fresh.call(*arguments)


def _serve(orders: Connection, begin: Callable[[], Callable[..., Any]]) -> None:
    os.setsid()
    _end_with_parent()
    _keep_quiet()
    orders.send((True, None))
    function: Callable[..., Any] | None = None
    while (arguments := orders.recv()) is not None:
        try:
            function = function or begin()
            orders.send((True, function(*arguments)))
        except Exception:
            orders.send((False, traceback.format_exc(limit=-4)))


def _end_with_parent() -> None:
    """A stopped process would else outlive a benchmark that was killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL))


def _keep_quiet() -> None:
    """Libraries talk a lot; what they say is kept beside the samples' folder, for when something fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.path.join(tempfile.gettempdir(), "mmfs-benchmarks.log"), "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
