"""``mmfs search``, ``neighbours``, ``sample`` and ``facets``: ask in words, by picture, by example, or at random."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmfs.cli.hits import HtmlOption, SaveOption, give_hits
from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, print_arrow, print_json

app = typer.Typer()


class Group(StrEnum):
    """What one hit stands for."""

    segment = "segment"
    media = "media"


WhereOption = Annotated[str | None, typer.Option("--where", help="SQL condition: \"width >= 480 AND kind = 'video'\".")]
SpaceOption = Annotated[str, typer.Option("--space", help="Embedding table.")]
GroupOption = Annotated[Group | None, typer.Option("--group", help="One hit a time range of a video, or one a media.")]


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    not_text: Annotated[str | None, typer.Option("--not", help="What to keep away from, in words.")] = None,
    image: Annotated[Path | None, typer.Option(help="Look for pictures like this file.")] = None,
    like: Annotated[list[str] | None, typer.Option(help="Look for samples like this key (repeatable).")] = None,
    unlike: Annotated[list[str] | None, typer.Option(help="... and unlike this key (repeatable).")] = None,
    where: WhereOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 20,
    group: GroupOption = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="0: the best hits; up to 1: varied ones.")] = 0.0,
    min_score: Annotated[float | None, typer.Option(help="Nothing that scores less is a hit.")] = None,
    space: Annotated[
        str, typer.Option(help="Embedding table, 'captions' (words and meaning) or 'caption_words'.")
    ] = "clip_embeddings",
    html: HtmlOption = None,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Search frames and print the hits; --html writes a gallery, --save a subset to train on."""
    if text is None and image is None and not like:
        raise typer.BadParameter("give a text, --image FILE or --like KEY")
    feature_store = open_(store, create=False)
    hits = feature_store.search(
        text,
        not_text=not_text,
        image=image,
        like=like or [],
        unlike=unlike or [],
        k=k,
        where=where,
        group=group.value if group else None,
        diversity=diversity,
        min_score=min_score,
        space=space,
    )
    give_hits(feature_store, hits, as_json=as_json, html=html, save=save)


@app.command()
def neighbours(
    key: Annotated[str, typer.Argument(help="Sample key: <media_id>:<index>.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    where: WhereOption = None,
    group: GroupOption = None,
    space: SpaceOption = "clip_embeddings",
    html: HtmlOption = None,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """The samples nearest to one."""
    feature_store = open_(store, create=False)
    hits = feature_store.neighbours(key, k, where=where, space=space, group=group.value if group else None)
    give_hits(feature_store, hits, as_json=as_json, html=html, save=save)


@app.command()
def sample(
    n: Annotated[int, typer.Argument(min=1, help="How many.")],
    where: WhereOption = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same samples.")] = 0,
    html: HtmlOption = None,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Frames at random."""
    feature_store = open_(store, create=False)
    hits = feature_store.sample(n, where=where, seed=seed)
    give_hits(feature_store, hits, as_json=as_json, html=html, save=save)


@app.command()
def facets(
    column: Annotated[str, typer.Argument(help="column or table.column.")],
    where: WhereOption = None,
    space: SpaceOption = "clip_embeddings",
    limit: Annotated[int, typer.Option(min=1, help="At most so many values.")] = 20,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """How often each value of a column occurs among the samples of a space."""
    found = open_(store, create=False).facets(column, where=where, space=space, limit=limit)
    if as_json:
        print_json(found)
    else:
        print_arrow(found, limit=limit)
