"""What a terminal shows of runs."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from mmfs_assets.planning.runs import PlannedRun
from mmfs_assets.planning.terminal import TerminalWatcher


def test_a_step_that_failed_is_named_with_its_shards() -> None:
    said = io.StringIO()
    watcher = TerminalWatcher(Console(file=said, width=120))
    event = SimpleNamespace(
        is_step_start=False, is_step_materialization=False, is_step_success=False, event_type=None, is_step_failure=True
    )
    failed: Any = SimpleNamespace(dagster_event=event, step_key="frames")
    watcher.started(PlannedRun(("000000", "000001"), ("frames",)))
    watcher.event(failed)
    watcher.started(PlannedRun((), ("duplicates",)))
    watcher.event(failed)
    assert said.getvalue() == "failed frames             000000 to 000001\nfailed frames\n"
