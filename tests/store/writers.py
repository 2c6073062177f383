"""Processes that write into a store, started cheaply: all fork from one that has imported everything already.

The Delta library breaks in a process that forks after using it; the server these fork from never uses it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

from mmfs.store import Store
from mmfs.store.faults import arm
from tests.conftest import add_frames, add_media

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pandas", "pyarrow.parquet", "tests.store.writers"])


def start(write: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Run a function of this module in a process of its own, with the environment of this one as it is now."""
    process = _context.Process(target=_run, args=(dict(os.environ), write, arguments))
    process.start()
    return process


def _run(environment: dict[str, str], write: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    write(*arguments)


def end(process: ForkServerProcess, seconds: float = 120) -> int | None:
    """Wait for it; its exit code, negative for a signal."""
    process.join(seconds)
    return process.exitcode


def write_media(url: str, first: int, shards: int, step: int = 1) -> None:
    """One media in each of some shards, every ``step``-th."""
    store = Store.open(url)
    for shard in range(first, first + shards * step, step):
        add_media(store, f"{shard:06d}", [shard])


def write_frames(url: str) -> None:
    """Eight frames in one shard."""
    add_frames(Store.open(url), "000001", range(4), per_media=2)


def write_frames_and_die(url: str, point: str) -> None:
    """The same, killed at a fault point."""
    with arm(point, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        write_frames(url)


def compact(url: str) -> None:
    """Compact a store."""
    Store.open(url).compact()


def compact_and_die(url: str, point: str) -> None:
    """Compact a store, killed at a fault point."""
    with arm(point, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        Store.open(url).compact()
