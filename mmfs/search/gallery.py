"""Samples as a gallery of cards, or rows without pictures as a table of values: in notebooks and as one HTML file.

Hits and views of tables are drawn by it alike.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa

from mmfs.search.page import document, escaped, fragment, write_document
from mmfs.search.values import value_table

#: Cards or rows on one page, so that what they hold bounds its size.
MOST = 200
#: Said where there are no hits and nobody knows more.
NOTHING = "nothing matches"


@dataclass(frozen=True)
class Thumbnail:
    """Pictures of one sample, small.

    Attributes:
        picture: JPEG bytes; None: there is none to show.
        beside: JPEG bytes of what was computed of it, such as its depth in colours; None: nothing.
        about: What ``beside`` is, in a few words.
    """

    picture: bytes | None = None
    beside: bytes | None = None
    about: str = ""


@dataclass(frozen=True)
class Card:
    """One sample.

    Attributes:
        thumbnail: Its pictures.
        key: Sample key.
        score: Its score; None: it has none.
        caption: Its caption, or the first of its media.
        uri: Where its media came from.
        time_s: When it is in its video; None for pictures.
        start_s: Start of its time range, for segments and windows of sound.
        end_s: End of its time range.
        facts: Names and texts of more columns.
    """

    thumbnail: Thumbnail
    key: str
    score: float | None = None
    caption: str | None = None
    uri: str | None = None
    time_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Gallery:
    """What is shown of an answer or a table. A notebook draws it; `to_html` writes it to a file.

    Attributes:
        title: Heading of the file.
        lines: What is said above: how much is shown, of what, and where the rest is.
        shown: Cards, or rows that are shown as a table of values.
        empty: What is said where nothing is shown.
    """

    title: str
    lines: Sequence[str]
    shown: Sequence[Card] | pa.Table = field(repr=False)
    empty: str = NOTHING

    def __len__(self) -> int:
        return len(self.shown)

    def to_html(self, path: str | Path) -> Path:
        """Write one file that needs nothing else and runs nothing.

        Raises:
            SearchError: The file cannot be written.
        """
        return write_document(path, document(self.title, self.lines, self._body()))

    def _repr_html_(self) -> str:
        """The gallery in a notebook."""
        return fragment(self.lines, self._body())

    def _body(self) -> str:
        if len(self.shown) == 0:
            return f'<p class="about">{escaped(self.empty)}</p>'
        if isinstance(self.shown, pa.Table):
            return value_table(self.shown)
        wide = " wide" if any(card.thumbnail.beside is not None for card in self.shown) else ""
        cards = "\n".join(_card(card) for card in self.shown)
        return f'<ul class="hits{wide}">\n{cards}\n</ul>'


def clock(seconds: float) -> str:
    """Seconds as people read them.

    >>> clock(75.25)
    '1:15.2'
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _card(card: Card) -> str:
    name = PurePosixPath(card.uri).name if card.uri else ""
    score = "" if card.score is None else f"{card.score:.3f}"
    line = f'<div class="line"><span class="score">{score}</span><span>{_when(card)}</span></div>'
    caption = f"<div>{escaped(card.caption)}</div>" if card.caption else ""
    beside = f'<div class="small">{escaped(card.thumbnail.about)}</div>' if card.thumbnail.about else ""
    told = "".join(
        f'<div class="line small"><span>{escaped(fact)}</span><span>{escaped(text)}</span></div>'
        for fact, text in card.facts
    )
    facts = f'<div class="facts">{told}</div>' if told else ""
    return (
        f'<li><div class="pictures">{_pictures(card, card.caption or name)}</div><div class="text">'
        f"{line if score or _when(card) else ''}{caption}{beside}{facts}"
        f'<div class="small from" title="{escaped(card.uri or "")}">{escaped(name)}</div>'
        f'<div class="small key">{escaped(card.key)}</div></div></li>'
    )


def _pictures(card: Card, text: str) -> str:
    shown = card.thumbnail
    beside = _image(shown.beside, shown.about) if shown.beside is not None else ""
    if shown.picture is not None:
        return _image(shown.picture, text) + beside
    return beside or '<div class="none">no picture</div>'


def _image(jpeg: bytes, text: str) -> str:
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="{escaped(text)}" title="{escaped(text)}" src="data:image/jpeg;base64,{data}">'


def _when(card: Card) -> str:
    if card.start_s is not None and card.end_s is not None:
        return f"{clock(card.start_s)} to {clock(card.end_s)}"
    return clock(card.time_s) if card.time_s is not None else ""
