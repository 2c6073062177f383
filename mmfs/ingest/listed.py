"""What listing finds: a URI, how it looked, and what lists and sidecars say about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Caption:
    """A text about a media.

    Attributes:
        text: The caption, as given, without surrounding space.
        source: ``sidecar`` or ``list``.
        language: BCP 47 tag, if known.
    """

    text: str
    source: str
    language: str | None = None


@dataclass(frozen=True)
class Listed:
    """One URI before any of its bytes is read.

    Attributes:
        uri: Absolute path, ``file://`` (names that are not UTF-8), ``s3://`` or ``http(s)://``.
        size_bytes: Size as listed; None when unknown or missing.
        etag: Change mark of an object store, if it gave one.
        mtime_us: Last change, microseconds since 1970; None when unknown or missing.
        refused: ``reason: message`` when the URI may not be read; it then ends in quarantine.
        places: Which of the places that the user named say this.
    """

    uri: str
    size_bytes: int | None = None
    etag: str | None = None
    mtime_us: int | None = None
    captions: tuple[Caption, ...] = ()
    licence: str | None = None
    creator: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    places: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def mark(self) -> str:
        """What tells one state of the file from another."""
        return change_mark(self.etag, self.size_bytes, self.mtime_us, self.refused)


def change_mark(etag: str | None, size_bytes: int | None, mtime_us: int | None, refused: str | None) -> str:
    """What tells one state of a file from another: the store's own mark, else size and time.

    >>> change_mark(None, 10, 1_700_000_000_000_000, None)
    '10@1700000000000000'
    >>> change_mark(None, None, None, None)
    'unknown'
    """
    if refused is not None:
        return "refused"
    if etag is not None:
        return etag
    return "unknown" if size_bytes is None else f"{size_bytes}@{mtime_us}"


def merge_listed(old: Listed, new: Listed) -> Listed:
    """The same URI listed twice: captions of both, newer statements first.

    Merging the same again changes nothing. Captions from lists add up, since each list is a voice of its own. A
    sidecar is one file that may be edited: what it says now replaces what it said. A state that is unknown or
    refused never replaces a known one, so that a list read while its disk is away loses nothing.
    """
    said = {caption.text: caption for caption in distinct(new.captions)}
    replaces = any(caption.source == "sidecar" for caption in new.captions)
    kept = [
        said.get(caption.text, caption)
        for caption in old.captions
        if caption.text in said or not (replaces and caption.source == "sidecar")
    ]
    merged = replace(
        old,
        captions=distinct((*kept, *new.captions)),
        licence=new.licence or old.licence,
        creator=new.creator or old.creator,
        attributes={**old.attributes, **new.attributes},
        places=old.places | new.places,
    )
    if new.refused is not None or (new.mark == "unknown" and old.refused is None):
        return merged
    return replace(merged, size_bytes=new.size_bytes, etag=new.etag, mtime_us=new.mtime_us, refused=new.refused)


def distinct(captions: Iterable[Caption]) -> tuple[Caption, ...]:
    """Each text once, as and where it came first."""
    first: dict[str, Caption] = {}
    for caption in captions:
        first.setdefault(caption.text, caption)
    return tuple(first.values())


@dataclass
class Listing:
    """Everything that was found, sorted by URI.

    Attributes:
        items: One entry a URI.
        ignored: Files passed over because they are neither media nor about media.
        warnings: What was odd but did not stop the listing; each names its file.
    """

    items: list[Listed]
    ignored: int = 0
    warnings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Listed]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: half surrogate pairs (from JSON escapes) are spelled out.

    >>> storable("caf\\u00e9"), storable("\\ud800")
    ('café', '\\\\ud800')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
