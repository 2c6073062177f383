"""What the user named: folders, globs, files, lists, objects, web addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from mmfs.errors import IngestError
from mmfs.ingest.lists import is_list
from mmfs.ingest.locations import is_local, location_of, parent_of, scheme_of, suffix_of
from mmfs.media.sniff import MEDIA_SUFFIXES

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Named:
    """One thing the user named.

    Attributes:
        location: Real path, or URL. Of a glob, the folder above its first wildcard.
        pattern: The segments of a glob below that folder; empty when everything is meant.
    """

    kind: Literal["folder", "file", "list", "web"]
    location: str
    pattern: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """What may be read because this was named: lists open their folder, files only themselves."""
        return parent_of(self.location) or self.location if self.kind == "list" else self.location

    @property
    def depth(self) -> int | None:
        """How many levels below its folder a glob can reach; None for any."""
        return None if not self.pattern or "**" in self.pattern else len(self.pattern) - 1

    def matches(self, location: str) -> bool:
        """Whether a file below the folder is meant."""
        below = location.removeprefix(self.location).strip("/").split("/")
        return not self.pattern or _matches(below, self.pattern)


def parse_named(uri: str, *, allow_http: bool) -> Named:
    """Understand what the user typed.

    Raises:
        IngestError: It does not exist, is no file or folder, or may not be read.
    """
    scheme = scheme_of(uri)
    if scheme in {"http", "https"}:
        return _web(uri, allow_http)
    if scheme == "s3":
        return _bucket(uri)
    if scheme not in {"", "file"}:
        raise IngestError(f"{scheme}:// is not read: {uri!r}", mend="name a path, s3://bucket/prefix or a list")
    if "\0" in uri:
        raise IngestError(f"{uri!r} holds a NUL character", mend="name an existing path")
    return _local(os.path.abspath(os.path.expanduser(location_of(uri))))


def _web(url: str, allow_http: bool) -> Named:
    if not allow_http:
        raise IngestError("http(s) is off", where=url, mend="set MMFS_ALLOW_HTTP=1, or download it first")
    if is_list(url):
        raise IngestError("lists are not read over http(s)", where=url, mend="download the list and name the file")
    return Named("web", url)


def _bucket(url: str) -> Named:
    segments = url.split("/")
    if len(segments) < 3 or not segments[2] or ".." in segments:
        raise IngestError(f"{url!r} is no place in a bucket", mend="name s3://bucket/prefix")
    if _MAGIC & set(url):
        return _glob(url)
    if is_list(url):
        return Named("list", url)
    return Named("file" if suffix_of(url) in MEDIA_SUFFIXES else "folder", url.rstrip("/"))


def _local(path: str) -> Named:
    real = os.path.realpath(path)
    if os.path.isdir(real):
        return Named("folder", real)
    if os.path.isfile(real):
        return Named("list", path) if is_list(path) else Named("file", real)
    if os.path.lexists(path):
        raise IngestError(f"{path!r} is neither file nor folder", mend="name a file, a folder or a glob")
    if _MAGIC & set(path):
        return _glob(path)
    raise IngestError(f"{path!r} does not exist", mend="check the name; quote globs so that the shell leaves them")


def _glob(location: str) -> Named:
    segments = location.split("/")
    first = next(index for index, segment in enumerate(segments) if _MAGIC & set(segment))
    base = "/".join(segments[:first]) or "/"
    if is_local(base):
        base = os.path.realpath(base)
        if not os.path.isdir(base):
            raise IngestError(f"{base!r} is no folder", where=location, mend="check the part before the wildcard")
    elif first < 3:
        raise IngestError("a bucket's name cannot be a pattern", where=location, mend="name s3://bucket/prefix/*")
    return Named("folder", base, tuple(segment for segment in segments[first:] if segment))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skip:], pattern[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
