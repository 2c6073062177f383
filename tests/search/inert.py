"""Reads HTML as a browser does, and knows which of it is ours."""

from __future__ import annotations

from html.parser import HTMLParser

_KNOWN_TAGS = {"html", "head", "meta", "title", "style", "body", "div", "h1", "p", "ul", "li", "img", "span"}
_KNOWN_TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
_KNOWN_ATTRIBUTES = {"lang", "class", "charset", "http-equiv", "content", "name", "alt", "src", "title"}


class Reader(HTMLParser):
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


def inert(text: str) -> Reader:
    """Read a page, and fail if it holds a tag, attribute or address that is not ours."""
    seen = Reader(text)
    for tag, attributes in seen.tags:
        assert tag in _KNOWN_TAGS
        assert set(attributes) <= _KNOWN_ATTRIBUTES
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/jpeg;base64,")
    return seen
