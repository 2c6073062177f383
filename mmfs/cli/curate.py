"""``mmfs curate``: near duplicates, outliers, spread, clusters, leaks, balance and distributions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, print_arrow, print_json

if TYPE_CHECKING:
    import pyarrow as pa

    from mmfs.client import FeatureStore

app = typer.Typer(help="Choose what to train on: every answer can be saved as a subset.", no_args_is_help=True)


class Keep(StrEnum):
    """Which media of a group of duplicates stays."""

    largest = "largest"
    first = "first"


class Grain(StrEnum):
    """What a sample is."""

    media = "media"
    frame = "frame"
    caption = "caption"
    audio_window = "audio_window"


SpaceOption = Annotated[str, typer.Option("--space", help="Embedding table.")]
SubsetOption = Annotated[str | None, typer.Option("--subset", help="Look at the samples of this subset only.")]
WhereOption = Annotated[str | None, typer.Option("--where", help="Look at samples of this SQL condition only.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Equal seeds give equal answers.")]
SaveOption = Annotated[str | None, typer.Option("--save", help="Save the answer as a subset of this name.")]
GrainOption = Annotated[Grain, typer.Option("--grain", help="What a sample is.")]
BinsOption = Annotated[int | None, typer.Option("--bins", min=1, help="Cut numbers into so many ranges.")]
_CLIP = "clip_embeddings"


@app.command()
def duplicates(
    threshold: Annotated[float, typer.Option(help="Cosine from which on two vectors are duplicates.")] = 0.95,
    max_hamming: Annotated[int, typer.Option(help="Bits in which two perceptual hashes may differ.")] = 4,
    keep: Annotated[Keep, typer.Option(help="Which media of a group stays.")] = Keep.largest,
    within_media: Annotated[bool, typer.Option("--within-media", help="Also between frames of one media.")] = False,
    space: SpaceOption = _CLIP,
    subset: SubsetOption = None,
    where: WhereOption = None,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Near duplicates among frames; --save keeps one of each group and all frames without duplicates."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.duplicates(
        threshold=threshold,
        max_hamming=max_hamming,
        keep=keep.value,
        within_media=within_media,
        space=space,
        subset=subset,
        where=where,
    )
    grouped = found.filter(found["reason"].is_valid()).sort_by([("group_key", "ascending"), ("is_kept", "descending")])
    _show(feature_store, found, shown=grouped, saved=found.filter(found["is_kept"]), save=save, as_json=as_json)


@app.command()
def outliers(
    top: Annotated[int, typer.Option(help="How many.")] = 100,
    neighbours: Annotated[int, typer.Option(help="Far from which nearest neighbour.")] = 10,
    within_media: Annotated[bool, typer.Option("--within-media", help="Frames of one media are neighbours.")] = False,
    space: SpaceOption = _CLIP,
    subset: SubsetOption = None,
    where: WhereOption = None,
    seed: SeedOption = 0,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Samples that are like no other, farthest first."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.outliers(
        top, neighbours, within_media=within_media, space=space, subset=subset, where=where, seed=seed
    )
    _show(feature_store, found, save=save, as_json=as_json)


@app.command()
def diverse(
    n: Annotated[int, typer.Argument(help="How many.")],
    space: SpaceOption = _CLIP,
    subset: SubsetOption = None,
    where: WhereOption = None,
    seed: SeedOption = 0,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """The samples that differ most, and how well they cover the others."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.diverse(n, space=space, subset=subset, where=where, seed=seed)
    _show(feature_store, found, save=save, as_json=as_json)


@app.command()
def clusters(
    k: Annotated[int, typer.Argument(help="How many clusters.")],
    space: SpaceOption = _CLIP,
    subset: SubsetOption = None,
    where: WhereOption = None,
    seed: SeedOption = 0,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Every sample with its cluster."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.clusters(k, space=space, subset=subset, where=where, seed=seed)
    _show(feature_store, found, save=save, as_json=as_json)


@app.command()
def leaks(
    subset: Annotated[str, typer.Argument(help="What samples could be taken out of: what is trained on.")],
    other: Annotated[str, typer.Argument(help="What they must not be near to: what is evaluated on.")],
    threshold: Annotated[float, typer.Option(help="Cosine from which on two samples are too near.")] = 0.95,
    space: SpaceOption = _CLIP,
    where: WhereOption = None,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Samples of one subset that are too near to one of another."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.leaks(subset, other, threshold=threshold, space=space, where=where)
    _show(feature_store, found, save=save, as_json=as_json)


@app.command()
def balanced(
    by: Annotated[str, typer.Argument(help="Column, such as raw_media.kind.")],
    n: Annotated[int | None, typer.Option("-n", help="How many in all.")] = None,
    each: Annotated[int | None, typer.Option(help="Or: at most how many of each value.")] = None,
    bins: BinsOption = None,
    grain: GrainOption = Grain.frame,
    subset: SubsetOption = None,
    where: WhereOption = None,
    seed: SeedOption = 0,
    save: SaveOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Samples drawn evenly over the values of a column."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.balanced(
        by, n=n, each=each, bins=bins, grain=grain.value, subset=subset, where=where, seed=seed
    )
    _show(feature_store, found, save=save, as_json=as_json)


@app.command()
def distribution(
    by: Annotated[str, typer.Argument(help="Column, such as raw_media.width.")],
    bins: BinsOption = None,
    grain: GrainOption = Grain.frame,
    subset: SubsetOption = None,
    where: WhereOption = None,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """How many samples have which value of a column."""
    feature_store = open_(store, create=False)
    found = feature_store.curate.distribution(by, bins=bins, grain=grain.value, subset=subset, where=where)
    _show(feature_store, found, as_json=as_json)


def _show(
    store: FeatureStore,
    answer: pa.Table,
    *,
    shown: pa.Table | None = None,
    saved: pa.Table | None = None,
    save: str | None = None,
    as_json: bool,
) -> None:
    """Print an answer and its figures, and save it.

    Args:
        shown: The rows to print; default: all.
        saved: The rows to save; default: all.
        save: Name of the subset.
    """
    rows = answer if shown is None else shown
    figures = store.curate.figures(answer)
    kept = store.subset(save).save(answer if saved is None else saved) if save is not None else None
    if as_json:
        print_json({"rows": rows, "figures": figures, "subset": kept})
        return
    print_arrow(rows.drop_columns([name for name in _PARTS_OF_KEY if name in rows.column_names]))
    for name, figure in figures.items():
        console.print(f"{name}: {_text(figure)}", markup=False, style="dim")
    if kept is not None:
        console.print(f"subset {kept.name}: {kept.samples:,} samples; next: mmfs pin NAME --subset {kept.name}")


#: Columns that the column `key` says already.
_PARTS_OF_KEY = ("media_id", "frame_index", "caption_index", "window_index")


def _text(figure: object) -> str:
    if isinstance(figure, list) and len(figure) > 20:
        return f"[{', '.join(str(item) for item in figure[:20])}, ... {len(figure):,} values]"
    return f"{figure:.6g}" if isinstance(figure, float) else str(figure)
