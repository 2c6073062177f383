"""``mmfs search``: ask in words, by picture or by example."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_json, print_rows

app = typer.Typer()


class Group(StrEnum):
    """What one hit stands for."""

    segment = "segment"
    media = "media"


_COLUMNS = ("score", "time_s", "segment_start_s", "segment_end_s", "caption", "uri")


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    image: Annotated[Path | None, typer.Option(help="Look for pictures like this file.")] = None,
    like: Annotated[list[str] | None, typer.Option(help="Look for samples like this key (repeatable).")] = None,
    unlike: Annotated[list[str] | None, typer.Option(help="... and unlike this key (repeatable).")] = None,
    where: Annotated[str | None, typer.Option(help="SQL condition, e.g. \"width >= 480 AND kind = 'video'\".")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 20,
    group: Annotated[Group | None, typer.Option(help="One hit a time range of a video, or one a media.")] = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="0: the best hits; up to 1: varied ones.")] = 0.0,
    space: Annotated[str, typer.Option(help="Embedding table to search, or 'captions' for words.")] = "clip_embeddings",
    html: Annotated[Path | None, typer.Option(help="Write a picture gallery to this file.")] = None,
    save: Annotated[str | None, typer.Option(help="Save the hits as a subset of this name.")] = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Search frames and print the hits; --html writes a gallery, --save a subset to train on."""
    if text is None and image is None and not like:
        raise typer.BadParameter("give a text, --image FILE or --like KEY")
    feature_store = open_(store, create=False)
    hits = feature_store.search(
        text,
        image=image,
        like=like or [],
        unlike=unlike or [],
        k=k,
        where=where,
        group=group.value if group else None,
        diversity=diversity,
        space=space,
    )
    if as_json:
        print_json({"hits": hits.table, "info": hits.info})
    else:
        if hits.info.label:
            console.print(hits.info.label, style="yellow")
        wanted = [
            name
            for name in ("score", "time_s", "start_s", "end_s", "caption", "uri")
            if name in hits.table.column_names
        ]
        rows = hits.table.select(wanted).to_pylist()
        print_rows(
            ("#", *wanted),
            ((number, *row.values()) for number, row in enumerate(rows, 1)),
            right=("#", *_COLUMNS[:4]),
        )
        console.print(hits.info.summary(), style="dim")
    if html is not None:
        hits.to_html(html)
        console.print(f"gallery: {html}")
    if save is not None:
        saved = feature_store.subset(save).save(hits)
        console.print(f"subset {saved.name}: {saved.samples:,} samples; next: mmfs pin NAME --subset {saved.name}")
