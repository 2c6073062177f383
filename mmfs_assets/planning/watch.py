"""Who watches runs: told of the runs' own events, so that terminal and UI say the same."""

from typing import Protocol

import dagster as dg

from mmfs_assets.planning.runs import PlannedRun


class Watcher(Protocol):
    """Told what happens, in order."""

    def started(self, run: PlannedRun) -> None:
        """A run begins."""

    def event(self, entry: dg.EventLogEntry) -> None:
        """Something was written to its log."""


class Silent:
    """Shows nothing."""

    def started(self, run: PlannedRun) -> None: ...

    def event(self, entry: dg.EventLogEntry) -> None: ...
