"""Threads for what training never waits for."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

#: What the end of the process waits for all of them together.
_PATIENCE_S = 3.0

_threads: WeakSet[threading.Thread] = WeakSet()


def aside(work: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that ends with the process; its end gives the thread a last few seconds."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    _threads.add(thread)
    thread.start()
    return thread


@atexit.register
def _finish() -> None:
    until = time.monotonic() + _PATIENCE_S
    for thread in list(_threads):
        thread.join(max(0.0, until - time.monotonic()))
