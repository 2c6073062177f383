"""``mmfs ingest``: put media into shards."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_json
from mmfs.cli.plugins import plugin_command

app = typer.Typer()


@app.command()
def ingest(
    uris: Annotated[
        list[str], typer.Argument(help="Directories, globs, files, s3:// prefixes, or CSV/JSONL/Parquet lists of URIs.")
    ],
    store: StoreOption = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the originals into the store by content hash.")] = False,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Also compute everything, through Dagster.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find media and give unseen ones to shards; nothing is read until the shards are materialized."""
    if copy and not materialize:
        raise typer.BadParameter(
            "--copy works with --materialize, since nothing is read before; "
            "or set MMFS_COPY_MEDIA=1 where the assets run"
        )
    if copy:
        os.environ["MMFS_COPY_MEDIA"] = "1"
    feature_store = open_(store)
    report = feature_store.ingest(uris)
    if as_json:
        print_json(report)
    else:
        console.print(
            f"{report.new:,} new, {report.known:,} already known, {report.updated:,} of them changed, "
            f"{report.ignored:,} ignored (no media), {report.refused:,} refused; "
            f"shards {', '.join(report.shards) or 'unchanged'}"
        )
        for warning in report.warnings:
            console.print(warning, markup=False, style="yellow")
    if materialize:
        plugin_command("materialize")(assets=None, missing=True, store=store)
    elif report.new and not as_json:
        console.print("next: [bold]mmfs materialize --missing[/]")
