"""Names of places: how a URI is spelled in tables, and where it points.

A *location* is what the machine opens: an absolute path (as ``os.fsdecode`` spells it) or a URL. A *URI* is what
tables hold: the same text, but for local names that are not UTF-8, which become ``file://`` with percent signs.
"""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from mmfs.errors import IngestError


def scheme_of(text: str) -> str:
    """``s3``, ``http``, ``https``, ``file``, another scheme, or ``""`` for a path.

    >>> scheme_of("s3://bucket/a.jpg"), scheme_of("/data/a.jpg"), scheme_of("a: b.jpg")
    ('s3', '', '')
    """
    head, separator, _ = text.partition("://")
    return head.lower() if separator and head.replace("+", "").isalnum() else ""


def is_local(location: str) -> bool:
    """Whether the location is a path of this machine."""
    return not scheme_of(location)


def uri_of(location: str) -> str:
    """The URI of a location.

    >>> uri_of("/data/a b.jpg"), uri_of("/data/\\udcff.jpg")
    ('/data/a b.jpg', 'file:///data/%FF.jpg')
    """
    try:
        location.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(location))
    return location


def location_of(uri: str) -> str:
    """Where a URI points; relative paths are left relative.

    Raises:
        IngestError: A ``file://`` URI names another machine.

    >>> location_of("file:///data/a%20b.jpg"), location_of("s3://bucket/key")
    ('/data/a b.jpg', 's3://bucket/key')
    """
    if scheme_of(uri) != "file":
        return uri
    host, _, path = uri[len("file://") :].partition("/")
    if host not in {"", "localhost"}:
        raise IngestError(f"{uri!r} is on another machine ({host})", mend="mount it and name the path")
    return os.fsdecode(unquote_to_bytes("/" + path))


def parent_of(location: str) -> str | None:
    """The folder that holds a location; None at the top.

    >>> parent_of("/data/a.jpg"), parent_of("s3://bucket/x/a.jpg"), parent_of("s3://bucket"), parent_of("/")
    ('/data', 's3://bucket/x', None, None)
    """
    location = location.rstrip("/") or "/"
    if not is_local(location):
        parts = urlsplit(location)
        return location.rpartition("/")[0] if parts.path.strip("/") else None
    parent = os.path.dirname(location)
    return None if parent == location else parent


def child_of(folder: str, name: str) -> str:
    """A name inside a folder."""
    return f"{folder.rstrip('/')}/{name}"


def stem_of(name: str) -> str:
    """A file name without its last suffix.

    >>> stem_of("/data/a.b.jpg")
    '/data/a.b'
    """
    return os.path.splitext(name)[0]


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot.

    >>> suffix_of("/data/A.JPG")
    '.jpg'
    """
    return os.path.splitext(name)[1].lower()
