"""Named places where tests make things fail: `fault_point` does nothing unless a fault is armed.

A fault is armed in this process (`arm`), or in a child by the variable ``_MMFS_FAULT=name[@about]:action[:nth]``. The
action is ``kill``, ``segv`` or ``stop`` (that signal to itself) or ``raise`` (OSError); ``nth`` counts passes from 1,
and without it a fault that names what it is about strikes at every pass.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Every name there is; a test fails when one was never reached.
FAULT_POINTS = frozenset(
    {
        "cache.before_blob",
        "cache.before_rows",
        "compaction.before_copy",
        "compaction.after_copy",
        "features.after_part",
        "features.before_part",
        "features.decode",
        "objects.before_rename",
        "packs.before_publish",
        "packs.after_publish",
        "search.before_finish",
        "search.before_publish",
        "search.after_publish",
        "tables.before_file",
        "tables.before_commit",
        "tables.after_commit",
    }
)

_SIGNALS = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV, "stop": signal.SIGSTOP}

_armed: dict[str, Callable[[], None]] = {}
_passes: dict[str, int] = {}
_lock = threading.Lock()


def fault_point(name: str, *, about: str = "") -> None:
    """A place where a test may break in. Costs one dictionary look-up when nothing is armed.

    Args:
        about: What is at work there, where a fault may be meant for one of several.
    """
    action = _armed.get(name) or (_armed.get(f"{name}@{about}") if about and _armed else None)
    if action is not None:
        action()


@contextmanager
def arm(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run ``action`` at every pass of the fault point, in all threads of this process.

    Raises:
        ValueError: There is no such fault point.
    """
    if name not in FAULT_POINTS:
        raise ValueError(f"no fault point {name!r}; there are {sorted(FAULT_POINTS)}")
    _armed[name] = action
    try:
        yield
    finally:
        _armed.pop(name, None)


def _arm_from_environment(text: str) -> None:
    name, action, *nth = text.split(":")
    point, at, _ = name.partition("@")
    if point not in FAULT_POINTS or action not in {*_SIGNALS, "raise"}:
        raise ValueError(f"_MMFS_FAULT={text!r} names no fault point and action")
    wanted = int(nth[0]) if nth else (None if at else 1)

    def act() -> None:
        with _lock:
            _passes[name] = _passes.get(name, 0) + 1
            due = wanted in (None, _passes[name])
        if not due:
            return
        if action in _SIGNALS:
            os.kill(os.getpid(), _SIGNALS[action])
            return
        raise OSError(f"armed fault at {name}")

    _armed[name] = act


if os.environ.get("_MMFS_FAULT"):
    _arm_from_environment(os.environ["_MMFS_FAULT"])
