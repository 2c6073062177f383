"""Commands of reproducibility and lineage: pin, pins, unpin, runs, keys-at, trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_json, print_rows, utc

if TYPE_CHECKING:
    from mmfs.client import FeatureStore
    from mmfs.store.pins import Pin, Version

app = typer.Typer()


@app.command()
def pin(
    name: Annotated[str, typer.Argument(help="Name of the new pin.")],
    columns: Annotated[list[str], typer.Option("--column", "-c", help="table.column, e.g. frames.image (repeatable).")],
    subset: Annotated[str | None, typer.Option(help="Only the samples of this subset.")] = None,
    where: Annotated[str | None, typer.Option(help="Only samples of this SQL condition.")] = None,
    missing: Annotated[str, typer.Option(help="error, skip or null: what a sample without a value means.")] = "error",
    version: Annotated[
        list[str] | None,
        typer.Option(help="TABLE=VERSION: a table version, a Dagster run id or a time (repeatable); default: newest."),
    ] = None,
    bucket: Annotated[
        list[str] | None,
        typer.Option(help="HEIGHTxWIDTH in pixels: batches of this shape for samples of about it (repeatable)."),
    ] = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Fix columns, selection and versions under a name that training code opens."""
    if missing not in ("error", "skip", "null"):
        raise typer.BadParameter("--missing is error, skip or null")
    policy: Literal["error", "skip", "null"] = missing  # type: ignore[assignment]
    made = open_(store, create=False).pin(
        name,
        columns=columns,
        subset=subset,
        where=where,
        missing=policy,
        versions=_versions(version or []),
        buckets=[_bucket(one) for one in bucket or ()],
    )
    if as_json:
        print_json(made)
    else:
        console.print(f"pin {made.name}, id {made.id[:12]}", markup=False)
        console.print(made.report(), markup=False)
        console.print(f'next: store.loader("{made.name}", batch_size=64)', markup=False)


@app.command()
def pins(
    name: Annotated[
        str | None, typer.Argument(help="Only this pin: what it covers, and where its tables come from.")
    ] = (None),
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """All pins, or one in full."""
    feature_store = open_(store, create=False)
    if name is not None:
        _show_pin(feature_store, feature_store.pinned(name), as_json=as_json)
        return
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


@app.command()
def runs(store: StoreOption = None, as_json: AsJson = False) -> None:
    """Training runs: what each read, on which topology, how far it came. A restart is a line of its own."""
    rows = open_(store, create=False).table("training_runs").to_arrow().to_pylist()
    if as_json:
        print_json(rows)
        return
    print_rows(
        ("run", "pin", "started", "epoch", "steps", "ranks x batch", "ended"),
        (
            (
                row["run_id"],
                row["pin"],
                utc(row["started_at_us"]),
                row["epoch"],
                f"{row['first_step']} to {'?' if row['last_step'] is None else row['last_step']}",
                f"{row['world_size']} x {row['batch_size']}",
                utc(row["ended_at_us"]) if row["ended_at_us"] else None,
            )
            for row in sorted(rows, key=lambda row: (row["started_at_us"], row["segment"]))
        ),
    )


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


def _show_pin(store: FeatureStore, pin: Pin, *, as_json: bool) -> None:
    from mmfs.loader.report import taken_down_samples

    if as_json:
        print_json(pin)
        return
    console.print(f"pin {pin.name}, id {pin.id[:12]}, made {utc(pin.created_at_us)}", markup=False)
    console.print(pin.report(taken_down=taken_down_samples(store.core, pin)), markup=False)
    print_rows(
        ("table", "version", "shards", "rows", "runs that made it"),
        (
            (name, table.version, len(table.files), f"{sum(f.rows for f in table.files):,}", ", ".join(table.run_ids))
            for name, table in pin.tables.items()
        ),
        right=("version", "shards", "rows"),
    )
    if pin.buckets:
        rows = ((f"{one.height}x{one.width}", f"{one.samples:,}") for one in pin.buckets)
        print_rows(("bucket", "samples"), rows, right=("samples",))


def _versions(given: list[str]) -> dict[str, Version]:
    """``table=version`` as the versions of a pin: numbers are table versions.

    >>> _versions(["frames=12", "captions=2026-11-02T08:30"])
    {'frames': 12, 'captions': '2026-11-02T08:30'}
    """
    found: dict[str, Version] = {}
    for one in given:
        table, equals, version = one.partition("=")
        if not (table and equals and version):
            raise typer.BadParameter(f"--version {one!r} is not TABLE=VERSION")
        found[table] = int(version) if version.isdecimal() else version
    return found


def _bucket(text: str) -> tuple[int, int]:
    """Height and width.

    >>> _bucket("224x288")
    (224, 288)
    """
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal()):
        raise typer.BadParameter(f"--bucket {text!r} is not HEIGHTxWIDTH, for example 224x288")
    return int(height), int(width)
