"""``mmfs retry``: have what failed tried again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_json, print_rows
from mmfs.media.info import Reason

if TYPE_CHECKING:
    from mmfs.client.retrying import Retried

app = typer.Typer()


@app.command()
def retry(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables whose rows failed, e.g. raw_media frames; default: all.")
    ] = None,
    reason: Annotated[
        list[Reason] | None,
        typer.Option(
            help="Only rows that failed for this reason (repeatable); default: timeout, crashed, out_of_memory, "
            "too_large, changed, missing and model_failed, or any where --media is given."
        ),
    ] = None,
    shard: Annotated[list[str] | None, typer.Option(help="Only in this shard (repeatable).")] = None,
    media: Annotated[
        list[str] | None,
        typer.Option(help="Only what is about this media id, URI of a file, or key of a sample (repeatable)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried again.")] = False,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Have rows in quarantine tried again: on a larger machine, with raised limits, or because the cause has passed.

    Without it, what failed is tried again when its file, or the code or model of its table changes.
    """
    report = open_(store, create=False).retry(
        tables or (), reasons=reason or (), shards=shard or (), media=media or (), dry_run=dry_run
    )
    if as_json:
        print_json(report)
        return
    if report.retried:
        print_rows(("table", "reason", "shards", "rows"), _by_table(report.retried), right=("shards", "rows"))
    console.print(report.summary(), highlight=False)
    if not dry_run and (report.rows or report.waiting):
        console.print("next: [bold]mmfs materialize[/]; [bold]mmfs plan[/] says first what that computes")


def _by_table(retried: Iterable[Retried]) -> list[tuple[str, str, str, str]]:
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in retried:
        found[one.table, one.reason].append(one.rows)
    return [(table, reason, f"{len(rows):,}", f"{sum(rows):,}") for (table, reason), rows in found.items()]
