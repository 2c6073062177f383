"""How training is fed, on one line while it runs. What goes wrong here ends the line, never training."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from mmfs.loader.state import State
from mmfs.loader.stats import LoaderStats

log = logging.getLogger("mmfs.loader")

#: Least time from one line to the next: on a terminal, where it is written over, and in a log.
_TERMINAL_S, _LOG_S = 1.0, 30.0


class LiveStatus:
    """Writes what was delivered since the last line: on a terminal over that line, elsewhere below it.

    Args:
        out: Where to; default: stderr.
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, out: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stderr
        self._now = now
        self._is_terminal = self._out.isatty()
        self._every_s = _TERMINAL_S if self._is_terminal else _LOG_S
        self._before: LoaderStats | None = None
        self._before_s = now()
        self._is_open = False
        self._is_broken = False

    def show(self, state: State, stats: Callable[[], LoaderStats]) -> None:
        """A batch was delivered: write a line, if it is time for one."""
        now_s = self._now()
        if self._is_broken or now_s - self._before_s < self._every_s:
            return
        try:
            after = stats()
            line = status_line(state, self._before, after, now_s - self._before_s)
            self._write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
            self._is_open = self._is_terminal
            self._before, self._before_s = after, now_s
        except Exception as error:
            self._is_broken = True
            log.warning("there is no live status any more: %s", error)

    def end(self) -> None:
        """The iteration ended: what others write now begins on a line of its own."""
        if self._is_open and not self._is_broken:
            self._is_open = False
            try:
                self._write("\n")
            except (OSError, ValueError):
                self._is_broken = True

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def status_line(state: State, before: LoaderStats | None, after: LoaderStats, seconds: float) -> str:
    """What happened in the last seconds: samples and bytes of this rank, and how long its training waited.

    Args:
        state: Where training stands.
        before: Figures at the beginning of these seconds; None: all zero.
        after: Figures at their end.
    """

    def since(figure: Callable[[LoaderStats], float]) -> float:
        return figure(after) - (figure(before) if before else 0.0)

    waited_s = since(lambda stats: stats.stall_share * stats.elapsed_s)
    read, cached = since(lambda stats: stats.bytes_read), since(lambda stats: stats.bytes_cached)
    parts = [
        f"epoch {state.epoch}",
        f"step {state.step:,}",
        f"{since(lambda stats: stats.samples) / seconds:,.0f} samples/s",
        f"waiting {min(1.0, max(0.0, waited_s / seconds)):.0%}",
        f"{read / seconds / 1e6:,.1f} MB/s",
    ]
    if read and after.bytes_cached:
        parts.append(f"cache {cached / read:.0%}")
    return "  ".join(parts)
