"""How hits reach people and programs: a table or JSON, a gallery, a subset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.output import console, print_json, print_rows

if TYPE_CHECKING:
    from mmfs.client import FeatureStore
    from mmfs.search import Hits

HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a picture gallery to this file.")]
SaveOption = Annotated[str | None, typer.Option("--save", help="Save the hits as a subset of this name.")]
_SHOWN = ("score", "time_s", "segment_start_s", "segment_end_s", "key", "caption", "uri")


def give_hits(store: FeatureStore, hits: Hits, *, as_json: bool, html: Path | None, save: str | None) -> None:
    """Print hits, or say plainly that nothing matches; write the gallery and save the subset where asked."""
    if not as_json:
        _print(hits)
    gallery = hits.to_html(html) if html is not None else None
    saved = store.subset(save).save(hits) if save is not None else None
    if as_json:
        print_json({"hits": hits.table, "info": hits.info, "gallery": gallery, "subset": saved})
        return
    if gallery is not None:
        console.print(f"gallery: {gallery}", markup=False)
    if saved is not None:
        console.print(f"subset {saved.name}: {saved.samples:,} samples; next: mmfs pin NAME --subset {saved.name}")


def _print(hits: Hits) -> None:
    if hits.info.label:
        console.print(hits.info.label, style="yellow", markup=False)
    if hits.info.nothing:
        console.print(f"nothing matches: {hits.info.nothing}", style="yellow", markup=False)
    else:
        shown = [name for name in _SHOWN if name in hits.table.column_names]
        rows = hits.table.select(shown).to_pylist()
        numbered = ((number, *row.values()) for number, row in enumerate(rows, 1))
        print_rows(("#", *shown), numbered, right=("#", *_SHOWN[:4]))
    console.print(hits.info.summary(), style="dim", markup=False)
