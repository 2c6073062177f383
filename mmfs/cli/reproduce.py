"""Commands of reproducibility and lineage: pin, pins, unpin, keys-at, trace."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_json, print_rows

app = typer.Typer()


@app.command()
def pin(
    name: Annotated[str, typer.Argument(help="Name of the new pin.")],
    columns: Annotated[list[str], typer.Option("--column", "-c", help="table.column, e.g. frames.image (repeatable).")],
    subset: Annotated[str | None, typer.Option(help="Only the samples of this subset.")] = None,
    where: Annotated[str | None, typer.Option(help="Only samples of this SQL condition.")] = None,
    missing: Annotated[str, typer.Option(help="error, skip or null: what a sample without a value means.")] = "error",
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Fix columns, selection and versions under a name that training code opens."""
    if missing not in ("error", "skip", "null"):
        raise typer.BadParameter("--missing is error, skip or null")
    policy: Literal["error", "skip", "null"] = missing  # type: ignore[assignment]
    made = open_(store, create=False).pin(name, columns=columns, subset=subset, where=where, missing=policy)
    if as_json:
        print_json(made)
    else:
        console.print(f"pin {made.name}: {made.samples:,} samples, id {made.id[:12]}")
        console.print(f'next: store.loader("{made.name}", batch_size=64)', markup=False)


@app.command()
def pins(store: StoreOption = None, as_json: AsJson = False) -> None:
    """All pins."""
    feature_store = open_(store, create=False)
    found = [feature_store.pinned(name) for name in feature_store.pins()]
    if as_json:
        print_json(found)
        return
    print_rows(
        ("pin", "samples", "columns", "selection", "versions"),
        (
            (
                pin.name,
                f"{pin.samples:,}",
                ", ".join(pin.columns),
                pin.selection_id[:12],
                ", ".join(f"{name}@{table.version}" for name, table in pin.tables.items()),
            )
            for pin in found
        ),
        right=("samples",),
    )


@app.command()
def unpin(name: Annotated[str, typer.Argument(help="Pin to remove.")], store: StoreOption = None) -> None:
    """Remove a pin; vacuum may then free what only it named."""
    open_(store, create=False).unpin(name)
    console.print(f"removed pin {name}", markup=False)


@app.command("keys-at")
def keys_at(
    run: Annotated[str, typer.Argument(help="Training run.")],
    step: Annotated[int, typer.Option(help="Global step.")],
    rank: Annotated[int, typer.Option(help="Rank.")] = 0,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Which samples a training step saw."""
    keys = open_(store, create=False).keys_at(run, step=step, rank=rank)
    if as_json:
        print_json(keys)
    else:
        for key in keys:
            print(key)


@app.command()
def trace(
    media_id: Annotated[str, typer.Argument(help="Media to trace.")], store: StoreOption = None, as_json: AsJson = False
) -> None:
    """Which tables, subsets, pins and runs saw a media."""
    traced = open_(store, create=False).trace(media_id)
    if as_json:
        print_json(traced)
        return
    print_rows(("what", "where"), ((kind, ", ".join(names) or "-") for kind, names in traced.items()))
