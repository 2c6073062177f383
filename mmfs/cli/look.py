"""Commands that look at data: tables, sql, show."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, human_bytes, print_arrow, print_json, print_rows
from mmfs.ids import parse_key

app = typer.Typer()


@app.command()
def tables(store: StoreOption = None, as_json: AsJson = False) -> None:
    """What exists: rows, bytes, versions and coverage of every table."""
    found = open_(store, create=False).tables()
    if as_json:
        print_json(found)
        return
    print_rows(
        ("table", "grain", "rows", "coverage", "bytes", "version", "columns"),
        (
            (
                name,
                info.grain,
                f"{info.rows:,}",
                f"{info.coverage:.1%}" if info.coverage is not None else "-",
                human_bytes(info.bytes),
                info.version,
                ", ".join(info.columns),
            )
            for name, info in found.items()
        ),
        right=("rows", "coverage", "bytes", "version"),
    )


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the store's tables.")],
    pin: Annotated[str | None, typer.Option(help="Read the versions of this pin.")] = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Run one read-only SELECT."""
    answer = open_(store, create=False).sql(query, pin=pin)
    if as_json:
        print_json(answer)
    else:
        print_arrow(answer)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="A media id, or <media_id>:<frame_index>.")],
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Everything known about one media or sample: its rows in every table."""
    feature_store = open_(store, create=False)
    media_id, index = parse_key(key)
    rows = feature_store.rows_of(media_id, index)
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print(f"nothing is known about {key}")
        raise typer.Exit(1)
    for name, found in rows.items():
        console.print(f"\n{name}", style="bold")
        print_rows(
            ("column", "value"),
            [(column, value) for row in found.slice(0, 3).to_pylist() for column, value in row.items()],
        )
        if found.num_rows > 3:
            console.print(f"... {found.num_rows - 3} more rows", style="dim")
