"""Hits as HTML: one self-contained document. Captions and names are data, so everything is escaped, and the document's
own policy forbids scripts and requests whatever slips through."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_CSS = """
.mmfs-gallery{font:14px/1.4 system-ui,sans-serif;color:#1c1e21;max-width:1400px;margin:0 auto;padding:16px}
.mmfs-gallery h1{font-size:20px;font-weight:600;margin:0 0 4px}
.mmfs-gallery .about{color:#667;margin:0 0 12px}
.mmfs-gallery .hits{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:12px;padding:0;margin:0}
.mmfs-gallery li{list-style:none;border:1px solid #dde;border-radius:8px;overflow:hidden;background:#fff}
.mmfs-gallery img,.mmfs-gallery .none{display:block;width:100%;aspect-ratio:4/3;object-fit:contain;background:#15171a}
.mmfs-gallery .text{padding:6px 10px 8px;overflow-wrap:anywhere}
.mmfs-gallery .line{display:flex;justify-content:space-between;font-variant-numeric:tabular-nums}
.mmfs-gallery .score{font-weight:600}
.mmfs-gallery .small{color:#667;font-size:12px}
@media (prefers-color-scheme:dark){.mmfs-page{background:#101214}.mmfs-page .mmfs-gallery{color:#e6e8eb}
.mmfs-page .mmfs-gallery li{background:#1a1d21;border-color:#2b2f36}}
"""
_POLICY = (
    "default-src 'none'; img-src data:; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
#: Said where there are no hits and nobody knows more.
NOTHING = "nothing matches"


@dataclass(frozen=True)
class Card:
    """One hit.

    Attributes:
        picture: JPEG bytes; None: there is none to show.
        key: Sample key.
        score: Its score; None: it has none.
        caption: First caption of its media.
        uri: Where its media came from.
        time_s: When it is in its video; None for pictures.
        start_s: Start of its time range, for segments.
        end_s: End of its time range.
    """

    picture: bytes | None
    key: str
    score: float | None
    caption: str | None = None
    uri: str | None = None
    time_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None


def page(title: str, lines: Sequence[str], cards: Sequence[Card], *, empty: str = NOTHING) -> str:
    """A whole document; ``empty`` is said where there are no cards."""
    return (
        '<!doctype html>\n<html lang="en" class="mmfs-page"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_CSS}</style></head>\n"
        f"<body>{_gallery(lines, cards, title, empty)}</body></html>\n"
    )


def fragment(lines: Sequence[str], cards: Sequence[Card], *, empty: str = NOTHING) -> str:
    """The gallery for a page that exists, such as a notebook; ``empty`` is said where there are no cards."""
    return f"<style>{_CSS}</style>{_gallery(lines, cards, None, empty)}"


def escaped(text: str) -> str:
    """Text that a browser shows as it is: markup is inert, control and direction characters are gone.

    >>> escaped('<b onload="x">')
    '&lt;b onload=&quot;x&quot;&gt;'
    """
    return html.escape("".join(character if character.isprintable() else " " for character in text))


def _gallery(lines: Sequence[str], cards: Sequence[Card], title: str | None, empty: str) -> str:
    head = f"<h1>{escaped(title)}</h1>" if title else ""
    about = "".join(f'<p class="about">{escaped(line)}</p>' for line in lines)
    body = "\n".join(_card(card) for card in cards) or f'<li><div class="text">{escaped(empty)}</div></li>'
    return f'<div class="mmfs-gallery">{head}{about}<ul class="hits">\n{body}\n</ul></div>'


def _card(card: Card) -> str:
    name = PurePosixPath(card.uri).name if card.uri else ""
    if card.picture is not None:
        data = base64.b64encode(card.picture).decode()
        shown = f'<img alt="{escaped(card.caption or name)}" src="data:image/jpeg;base64,{data}">'
    else:
        shown = '<div class="none"></div>'
    score = "" if card.score is None else f"{card.score:.3f}"
    caption = f"<div>{escaped(card.caption)}</div>" if card.caption else ""
    return (
        f'<li>{shown}<div class="text"><div class="line"><span class="score">{score}</span>'
        f"<span>{_when(card)}</span></div>{caption}"
        f'<div class="small" title="{escaped(card.uri or "")}">{escaped(name)}</div>'
        f'<div class="small">{escaped(card.key)}</div></div></li>'
    )


def _when(card: Card) -> str:
    if card.start_s is not None and card.end_s is not None:
        return f"{clock(card.start_s)} to {clock(card.end_s)}"
    return clock(card.time_s) if card.time_s is not None else ""


def clock(seconds: float) -> str:
    """Seconds as people read them.

    >>> clock(75.25)
    '1:15.2'
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
