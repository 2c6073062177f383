"""``mmfs plan``: what a materialization would compute and cost, before it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, human_bytes, print_json, print_rows
from mmfs.cli.wording import (
    UNMEASURED,
    causes_text,
    count_text,
    document,
    duration_text,
    epochs_text,
    libraries_text,
    summary,
)

if TYPE_CHECKING:
    from mmfs.features.plan import Plan

app = typer.Typer()

_NUMBERS = ("rows", "fresh", "to compute", "failed", "gone", "bytes", "device", "wall", "pays after")


@app.command()
def plan(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Features or tables of media, in detail; default: all, in one table.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Also list the code that each feature's rows depend on.")] = False,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """What a materialization would compute and cost, before it does.

    Rows are counted down the whole chain. "pays after" says from how many epochs on keeping the values is quicker than
    computing them while loading.
    """
    from mmfs.client.plan import reached_code

    feature_store = open_(store, create=False)
    plans = {name: feature_store.plan(name) for name in tables} if tables else feature_store.plan()
    code = {name: reached_code(feature_store.core, name) for name in plans} if why else {}
    if as_json:
        print_json([document(one) | ({"code": code[name]} if why else {}) for name, one in plans.items()])
        return
    _print_overview(plans)
    for name in tables or ():
        _print_details(plans[name])
    for name, reached in code.items():
        if reached:
            console.print(f"\ncode of {name}", style="bold")
        for line in reached:
            console.print(f"  {line}", markup=False, highlight=False)


def _print_overview(plans: Mapping[str, Plan]) -> None:
    print_rows(
        ("asset", "rows", "fresh", "to compute", "why", "failed", "bytes", "device", "wall", "pays after"),
        (_overview(one) for one in plans.values()),
        right=_NUMBERS,
    )
    console.print(f"\n{summary(plans)}", highlight=False)
    notes = [f"{one.table}: {one.problem}" for one in plans.values() if one.problem]
    others = {one.forecast.rates.device for one in plans.values() if one.forecast and not one.forecast.is_this_device}
    notes += [f"* measured on another device: {device}" for device in sorted(others)]
    if any(one.estimated for one in plans.values()):
        notes.append("about: files have to be read before their rows can be counted; rows may also fail")
    notes += [
        f"{one.table} was computed with {libraries_text(one)}; its rows stay fresh"
        for one in plans.values()
        if one.changed_libraries
    ]
    for note in notes:
        console.print(note, style="dim", markup=False, highlight=False)


def _overview(one: Plan) -> tuple[object, ...]:
    forecast = one.forecast if one.to_compute else None
    mark = "" if forecast is None or forecast.is_this_device else " *"
    unmeasured = UNMEASURED if one.to_compute else None
    return (
        one.table,
        f"{one.rows:,}",
        f"{one.fresh:,}",
        count_text(one),
        causes_text(one),
        f"{one.failed:,}",
        human_bytes(forecast.bytes_written) if forecast else None,
        duration_text(forecast.device_s) + mark if forecast else None,
        duration_text(forecast.wall_s) + mark if forecast else unmeasured,
        epochs_text(one.break_even_epochs) if one.break_even_epochs else None,
    )


def _print_details(one: Plan) -> None:
    console.print(f"\n{one.table}", style="bold")
    if one.reads and one.reads.files:
        playing = f", {duration_text(one.reads.duration_s)} of video" if one.reads.duration_s else ""
        console.print(f"{one.reads.files:,} files of {human_bytes(one.reads.size_bytes)}{playing} to read")
    print_rows(
        ("shard", "rows", "fresh", "to compute", "why", "failed", "gone"),
        (
            (shard.shard, shard.rows, shard.fresh, count_text(shard), causes_text(shard), shard.failed, shard.gone)
            for shard in one.shards
        ),
        right=_NUMBERS,
    )
    if one.forecast:
        rates = one.forecast.rates
        console.print(
            f"measured over {rates.rows:,} rows on {rates.device}: {1e3 * rates.row_s:.3g} ms a row "
            f"({1e3 * rates.row_device_s:.3g} ms of the device), {1e3 * rates.shard_s:.3g} ms a shard, "
            f"{duration_text(rates.load_s)} to load, {human_bytes(rates.row_pack_bytes + rates.row_table_bytes)} a row",
            highlight=False,
        )
    if one.libraries:
        versions = ", ".join(f"{name} {'/'.join(found)}" for name, found in one.libraries.items())
        console.print(f"computed with {versions}", markup=False, highlight=False)
