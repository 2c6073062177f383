"""How far a step is, told through the run's own log: the UI and the terminal read the same events."""

import time
from collections.abc import Callable

import dagster as dg

_EVERY_S = 2.0
#: How a progress message begins; `mmfs materialize` shows such messages as a moving line.
PREFIX = "progress:"


def shard_progress(context: dg.AssetExecutionContext, shard: str) -> Callable[[int, int], None]:
    """A callback for ``(done, to do)`` that logs at most every two seconds."""
    last = time.monotonic()

    def report(done: int, todo: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY_S:
            last = now
            context.log.info(f"{PREFIX} shard {shard}: {done:,} of {todo:,}")

    return report
