"""HTML that people open: one self-contained document, or a part of a notebook.

Captions and names are data, so everything is escaped, and a document's own policy forbids scripts and requests
whatever slips through.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from pathlib import Path

from mmfs.errors import SearchError

# Notebooks bring styles for lists and tables of their own; the doubled class names outrank them.
_CSS = """
.mmfs-gallery{font:14px/1.4 system-ui,sans-serif;max-width:1400px;margin:0 auto;padding:12px 0}
.mmfs-gallery h1{font-size:20px;font-weight:600;margin:0 0 4px}
.mmfs-gallery p.about{opacity:.75;margin:0 0 8px;overflow-wrap:anywhere}
.mmfs-gallery ul.hits.hits{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:12px;
padding:0;margin:12px 0 0}
.mmfs-gallery ul.hits.wide{grid-template-columns:repeat(auto-fill,minmax(320px,1fr))}
.mmfs-gallery ul.hits.hits>li{list-style:none;margin:0;border:1px solid #d5d8e0;border-radius:8px;overflow:hidden;
background:#fff;color:#1c1e21}
.mmfs-gallery .pictures{display:flex;gap:1px;background:#15171a}
.mmfs-gallery .pictures img,.mmfs-gallery .pictures .none{display:block;flex:1;min-width:0;margin:0;height:auto;
aspect-ratio:4/3;object-fit:contain}
.mmfs-gallery .pictures .none{display:flex;align-items:center;justify-content:center;color:#8a8f98;font-size:12px}
.mmfs-gallery .text{padding:6px 10px 8px;overflow-wrap:anywhere}
.mmfs-gallery .line{display:flex;justify-content:space-between;gap:12px;font-variant-numeric:tabular-nums}
.mmfs-gallery .line span:last-child{text-align:right}
.mmfs-gallery .score{font-weight:600}
.mmfs-gallery .small{font-size:12px;color:#5b6270}
.mmfs-gallery .facts,.mmfs-gallery .from{margin-top:4px}
.mmfs-gallery .key{font:11px/1.4 ui-monospace,monospace}
.mmfs-gallery .scroll{overflow-x:auto;margin:12px 0 0}
.mmfs-gallery table.values.values{border-collapse:collapse;font-size:13px;margin:0;background:#fff;color:#1c1e21;
border:1px solid #d5d8e0}
.mmfs-gallery table.values.values th,.mmfs-gallery table.values.values td{padding:4px 10px;text-align:left;
vertical-align:top;border-bottom:1px solid #e4e6ec;max-width:420px;overflow-wrap:break-word;white-space:normal}
.mmfs-gallery table.values.values th{background:#f1f2f6;white-space:nowrap;font-weight:600}
.mmfs-gallery table.values.values .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.mmfs-gallery table.values.values .missing{color:#9aa0ab}
.mmfs-page body{margin:0;background:#f6f7f9;color:#1c1e21}
.mmfs-page .mmfs-gallery{padding:16px}
@media (prefers-color-scheme:dark){.mmfs-page body{background:#101214;color:#e6e8eb}
.mmfs-page .mmfs-gallery ul.hits.hits>li,.mmfs-page .mmfs-gallery table.values.values{background:#1a1d21;
border-color:#2b2f36;color:#e6e8eb}
.mmfs-page .mmfs-gallery .small{color:#9aa3b2}
.mmfs-page .mmfs-gallery table.values.values th{background:#23272d}
.mmfs-page .mmfs-gallery table.values.values th,.mmfs-page .mmfs-gallery table.values.values td{
border-color:#2b2f36}}
"""
_POLICY = (
    "default-src 'none'; img-src data:; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)


def document(title: str, lines: Sequence[str], body: str) -> str:
    """A whole document.

    Args:
        title: Its title and heading.
        lines: What is said above the body, as plain text.
        body: HTML that shows data escaped.
    """
    return (
        '<!doctype html>\n<html lang="en" class="mmfs-page"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_CSS}</style></head>\n"
        f"<body>{_framed(f'<h1>{escaped(title)}</h1>' if title else '', lines, body)}</body></html>\n"
    )


def fragment(lines: Sequence[str], body: str) -> str:
    """The same for a page that exists, such as a notebook."""
    return f"<style>{_CSS}</style>{_framed('', lines, body)}"


def write_document(path: str | Path, text: str) -> Path:
    """Write a document, in folders that are made where they lack.

    Raises:
        SearchError: The file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SearchError(
            f"the gallery cannot be written: {error.strerror}", where=str(target), mend="choose another file"
        ) from error
    return target


def escaped(text: str) -> str:
    """Text that a browser shows as it is: markup is inert, control and direction characters are gone.

    >>> escaped('<b onload="x">')
    '&lt;b onload=&quot;x&quot;&gt;'
    """
    return html.escape("".join(character if character.isprintable() else " " for character in text))


def _framed(head: str, lines: Sequence[str], body: str) -> str:
    about = "".join(f'<p class="about">{escaped(line)}</p>' for line in lines)
    return f'<div class="mmfs-gallery">{head}{about}{body}</div>'
