"""Commands that need Dagster. `mmfs` finds them through the entry points of the group ``mmfs.commands``.

Importing this module must stay cheap: it happens for every `mmfs` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.options import StoreOption
from mmfs_assets.instance_commands import diagnose, home, say_misfits, ui

if TYPE_CHECKING:
    from mmfs.settings import Settings

__all__ = ["app", "diagnose"]

app = typer.Typer()
app.command()(ui)
app.command()(home)


@app.command()
def materialize(
    assets: Annotated[
        list[str] | None, typer.Argument(help="Assets to run, e.g. frames clip_embeddings; default: all.")
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing/--all", help="Only what is missing or stale, or every shard (fresh rows stay).")
    ] = True,
    launch: Annotated[
        bool | None,
        typer.Option(
            "--launch/--here",
            help="Hand it to Dagster's daemon as a backfill, or run it in this process; "
            "default: launch where MMFS_EXECUTOR is ray or k8s.",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Compute what is missing or stale, through Dagster; say first what that is."""
    import time

    from mmfs.cli.output import console
    from mmfs.cli.wording import duration_text, made, summary
    from mmfs.client.plan import plan_store
    from mmfs.store import Store
    from mmfs_assets.definitions import definitions_for
    from mmfs_assets.execution.home import open_instance
    from mmfs_assets.execution.instance_config import LAUNCHERS
    from mmfs_assets.planning.materialize import materialize as run
    from mmfs_assets.planning.plan import chosen_assets
    from mmfs_assets.planning.terminal import TerminalWatcher
    from mmfs_assets.recorded import recorded_settings

    settings = recorded_settings(store)
    if assets:
        chosen_assets(definitions_for(settings).resolve_asset_graph(), assets)
    say_misfits(settings)
    plans = plan_store(Store.open(settings=settings), assets or None, with_break_even=False)
    console.print(f"to do: {summary(plans)}", highlight=False)
    if launch or (launch is None and settings.executor in LAUNCHERS):
        _launch(settings, assets or None, missing=missing)
        return
    began = time.perf_counter()
    with open_instance(settings) as instance, TerminalWatcher(console) as watcher:
        done = run(settings, instance, assets=assets, missing=missing, watcher=watcher)
    if done.runs:
        took_s = sum(done.seconds.get(table, 0.0) for table in plans)
        said = made({table: done.computed[table] for table in plans})
        all_s = time.perf_counter() - began
        console.print(f"did: {said}, {duration_text(took_s)} ({duration_text(all_s)} in all)", highlight=False)
    for texts in done.failures.values():
        for text in texts:
            console.print(text, style="red", markup=False, highlight=False)
    if done.failures:
        raise typer.Exit(1)


def _launch(settings: Settings, assets: list[str] | None, *, missing: bool) -> None:
    from mmfs.cli.output import console
    from mmfs_assets.execution.home import open_instance
    from mmfs_assets.page_urls import page_url
    from mmfs_assets.planning.backfill import require_daemon
    from mmfs_assets.planning.launch import launch_missing

    with open_instance(settings) as instance:
        require_daemon(instance)
        launched = launch_missing(settings, instance, title="mmfs materialize", assets=assets, missing=missing)
    for backfill in launched.backfills:
        path = f"runs/b/{backfill}"
        page = page_url(settings.dagster_url, path) or f"/{path}"
        console.print(f"launched backfill {backfill}: {page} in the UI", highlight=False, soft_wrap=True)
    left = launched.left()
    if left or not launched.backfills:
        nothing = "" if launched.backfills else "nothing to launch: "
        console.print(nothing + (left or "all is fresh"), highlight=False, soft_wrap=True)


@app.command()
def demo(
    media: Annotated[
        list[str] | None,
        typer.Option(
            "--media", help="Folder or s3://bucket/prefix of your own media, for rendered scenes (repeatable)."
        ),
    ] = None,
    store: StoreOption = None,
    pictures: Annotated[int, typer.Option(min=5, help="Scenes to render as pictures.")] = 256,
    clips: Annotated[int, typer.Option(min=1, help="Scenes to render as video clips.")] = 12,
) -> None:
    """The main job end to end: ingest, all assets through Dagster, search, truth, one training epoch."""
    from mmfs.cli.output import console
    from mmfs_assets.demo import run_demo

    run_demo(console, media=media or [], store=store, pictures=pictures, clips=clips)
