"""Runs in a terminal: a line for each asset that is done, and a moving one for the asset at work."""

from typing import Any, Self

import dagster as dg
from rich.console import Console
from rich.markup import escape

from mmfs_assets.planning.runs import PlannedRun
from mmfs_assets.steps.progress import PREFIX


class TerminalWatcher:
    """Prints what runs do. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("planning")
        self._figures: dict[str, dict[str, Any]] = {}
        self._shards = ""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def started(self, run: PlannedRun) -> None:
        """Remember which shards the next lines are about."""
        self._shards = run.shards[0] + (f" to {run.shards[-1]}" if len(run.shards) > 1 else "") if run.shards else ""

    def event(self, entry: dg.EventLogEntry) -> None:
        """Show one event of a run."""
        event, step = entry.dagster_event, entry.step_key
        if event is None:
            if step and entry.user_message.startswith(PREFIX):
                self._status.update(f"{step}: {escape(entry.user_message.removeprefix(PREFIX).strip())}")
        elif event.is_step_start:
            self._status.update(f"{step} {self._shards}")
        elif event.is_step_materialization and step:
            self._figures[step] = {name: value.value for name, value in event.materialization.metadata.items()}
        elif event.is_step_success and step in self._figures:
            self._console.print(_line(step, self._shards, self._figures.pop(step)), highlight=False)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event.asset_check_evaluation_data)
        elif event.is_step_failure:
            self._console.print(f"[red]failed[/] {step:<18} {self._shards}".rstrip(), highlight=False)

    def _check(self, result: Any) -> None:
        if not result.passed:
            colour = "yellow" if result.severity == dg.AssetCheckSeverity.WARN else "red"
            what = f"{result.asset_key.to_user_string()}.{result.check_name}: {result.description}"
            self._console.print(f"[{colour}]check[/]  {escape(what)}", highlight=False)


def _line(step: str, shards: str, figures: dict[str, Any]) -> str:
    """One asset in words."""
    figures = figures.get("run") or figures
    if "state" in figures:
        rate = f", {figures['rows_per_s']:,.1f} rows/s" if "rows_per_s" in figures else ""
        said = f"{figures['state']}{rate}, {figures['seconds']:.1f} s"
    else:
        said = ", ".join(
            f"{name} {figures[name]}" for name in ("steps", "last_loss", "samples_per_s") if name in figures
        )
    return f"[green]done[/]   {step:<18} {shards:<18} {escape(said)}"
