"""Commands that need Dagster. `mmfs` finds them through the entry points of the group ``mmfs.commands``.

Importing this module must stay cheap: it happens for every `mmfs` command.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

StoreOption = Annotated[
    str | None, typer.Option("--store", help="Directory or s3://bucket/prefix; default: MMFS_STORE or ./data/store.")
]


@app.command()
def materialize(
    assets: Annotated[
        list[str] | None, typer.Argument(help="Assets to run, e.g. frames clip_embeddings; default: all.")
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing/--all", help="Only what is missing or stale, or every shard (fresh rows stay).")
    ] = True,
    store: StoreOption = None,
) -> None:
    """Compute what is missing or stale, through Dagster, in this process; say first what that is."""
    import time

    from mmfs.cli.output import console
    from mmfs.cli.wording import duration_text, made, summary
    from mmfs.client.plan import plan_store
    from mmfs.store import Store
    from mmfs_assets.home import open_instance
    from mmfs_assets.materialize import materialize as run
    from mmfs_assets.recorded import recorded_settings
    from mmfs_assets.terminal import TerminalWatcher

    settings = recorded_settings(store)
    plans = plan_store(Store.open(settings=settings), assets or None, with_break_even=False)
    console.print(f"to do: {summary(plans)}", highlight=False)
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


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of the web server, on this machine only.")] = 3000,
    store: StoreOption = None,
) -> None:
    """Open the Dagster UI: web server, daemon and code location, on loopback."""
    from mmfs.cli.output import console
    from mmfs_assets.home import dagster_home
    from mmfs_assets.recorded import recorded_settings

    settings = recorded_settings(store)
    home = dagster_home(settings)
    url = settings.store if "://" in settings.store else str(Path(settings.store).absolute())
    console.print(f"http://127.0.0.1:{port}  (history: {home}, store: {url}; stop with Ctrl-C)", highlight=False)
    os.environ |= {"DAGSTER_HOME": str(home), "MMFS_STORE": url}
    os.execv(
        sys.executable,
        [sys.executable, "-m", "dagster", "dev", "-m", "mmfs_assets.definitions", "-h", "127.0.0.1", "-p", str(port)],
    )


@app.command()
def demo(
    media: Annotated[
        list[Path] | None, typer.Option("--media", help="Your own media instead of rendered scenes (repeatable).")
    ] = None,
    store: StoreOption = None,
    pictures: Annotated[int, typer.Option(min=5, help="Scenes to render as pictures.")] = 256,
    clips: Annotated[int, typer.Option(min=1, help="Scenes to render as video clips.")] = 12,
) -> None:
    """The main job end to end: ingest, all assets through Dagster, search, truth, one training epoch."""
    from mmfs.cli.output import console
    from mmfs_assets.demo import run_demo

    run_demo(console, media=media or [], store=store, pictures=pictures, clips=clips)
