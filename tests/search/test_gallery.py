"""The gallery shows hits as they are, and runs nothing that a caption or a name says."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.errors import SearchError
from mmfs.search import Hits
from mmfs.search.gallery import Card, fragment, page
from mmfs.store import Store
from tests.search.conftest import HOSTILE

Ask = Callable[..., Hits]
_KNOWN_TAGS = {"html", "head", "meta", "title", "style", "body", "div", "h1", "p", "ul", "li", "img", "span"}
_KNOWN_ATTRIBUTES = {"lang", "class", "charset", "http-equiv", "content", "name", "alt", "src", "title"}


class _Reader(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _inert(text: str) -> _Reader:
    """Read a page, and fail if it holds a tag, attribute or address that is not ours."""
    seen = _Reader(text)
    for tag, attributes in seen.tags:
        assert tag in _KNOWN_TAGS
        assert set(attributes) <= _KNOWN_ATTRIBUTES
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/jpeg;base64,")
    return seen


def test_a_gallery_is_one_file_with_pictures_scores_times_and_captions(
    indexed: Store, ask: Ask, tmp_path: Path
) -> None:
    hits = ask(indexed, "red", k=13)
    path = hits.to_html(tmp_path / "new" / "hits.html")
    text = path.read_text(encoding="utf-8")
    seen = _inert(text)
    pictures = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(pictures) == 13
    assert base64.b64decode(str(pictures[0]["src"]).partition(",")[2]).startswith(b"\xff\xd8")
    for shown in ("A red kite", "0:11.0", "10.video", f"{hits.table.column('score')[0].as_py():.3f}", "23 rows of"):
        assert shown in seen.text
    assert "http://" not in text
    assert "https://" not in text


def test_its_policy_allows_its_own_style_and_pictures_and_nothing_else() -> None:
    text = page("x", [], [])
    policy = next(a["content"] for tag, a in _Reader(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_captions_are_shown_and_not_obeyed(indexed: Store, ask: Ask, tmp_path: Path) -> None:
    hits = ask(indexed, f"blue {HOSTILE}", k=3)
    for text in (hits.to_html(tmp_path / "hits.html").read_text(encoding="utf-8"), hits._repr_html_()):
        seen = _inert(text)
        assert "<script>alert(1)</script>" in seen.text
        assert "\u202e" not in text
        assert "\x07" not in text


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(caption: str, uri: str, label: str) -> None:
    card = Card(b"\xff\xd8", key="k", score=0.5, caption=caption, uri=uri, time_s=61.0)
    _inert(page(label, [label], [card]))
    _inert(fragment([label], [card]))


def test_an_empty_answer_says_so(indexed: Store, ask: Ask) -> None:
    assert "nothing matches" in _inert(ask(indexed, "red", where="time_s > 100")._repr_html_()).text


def test_segments_show_their_time_range() -> None:
    assert "0:01.0 to 1:01.5" in fragment([], [Card(None, "k", 1.0, start_s=1.0, end_s=61.5)])


def test_a_file_that_cannot_be_written_is_named(indexed: Store, ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="cannot be written"):
        ask(indexed, "red").to_html(tmp_path)
