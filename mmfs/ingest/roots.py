"""Which places a list may refer to. Lists are untrusted: a row must not make us read what nobody offered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mmfs.errors import IngestError
from mmfs.ingest.locations import child_of, is_local, location_of, scheme_of
from mmfs.store.objects import is_own_name, oddity

_MEND = "name its folder too, or add it to MMFS_MEDIA_ROOTS"


@dataclass(frozen=True)
class Resolved:
    """Where a reference leads.

    Attributes:
        location: Real path or URL, without links and ``..``; for refused ones the text as given, made absolute.
        refused: ``reason: message``, or None when it may be read.
    """

    location: str
    refused: str | None = None


@dataclass(frozen=True)
class Roots:
    """The folders and prefixes that may be read, and whether http(s) may.

    Attributes:
        places: Real paths of local folders or files, and ``s3://`` prefixes.
    """

    places: tuple[str, ...]
    allow_http: bool = False

    @classmethod
    def of(cls, places: Iterable[str], *, allow_http: bool = False) -> Roots:
        """Roots at these locations; local ones are resolved first."""
        real = {os.path.realpath(place) if is_local(place) else place.rstrip("/") for place in places}
        return cls(tuple(sorted(real)), allow_http)

    def admits(self, location: str) -> bool:
        """Whether a real location lies in one of the places."""
        return any(location == place or location.startswith(place.rstrip("/") + "/") for place in self.places)

    def resolve(self, reference: str, folder: str) -> Resolved:
        """Follow a reference of a list that lies in ``folder``. Nothing is opened."""
        if "\0" in reference:
            return Resolved(reference, "forbidden: the name holds a NUL character")
        scheme = scheme_of(reference)
        if scheme in {"http", "https"}:
            return self._web(reference)
        if scheme == "s3" or (not scheme and not is_local(folder) and not reference.startswith("/")):
            return self._bucket(reference if scheme else child_of(folder, reference))
        if scheme not in {"", "file"}:
            return Resolved(reference, f"forbidden: {scheme}:// is not read")
        try:
            path = location_of(reference)
        except IngestError as error:
            return Resolved(reference, f"forbidden: {error.what}")
        return self._local(path if path.startswith("/") else child_of(folder, path))

    def _web(self, url: str) -> Resolved:
        if not self.allow_http:
            return Resolved(url, "forbidden: http(s) is off; MMFS_ALLOW_HTTP=1 allows it")
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None:
            return Resolved(url, "forbidden: the URL has no host, or carries a name and password")
        return Resolved(url)

    def _bucket(self, url: str) -> Resolved:
        refused = refusal_of_object(url)
        if refused is not None:
            return Resolved(url, refused)
        return Resolved(url) if self.admits(url) else Resolved(url, f"forbidden: outside the sources; {_MEND}")

    def _local(self, path: str) -> Resolved:
        real = os.path.realpath(path)
        if not self.admits(real):
            return Resolved(os.path.normpath(path), f"forbidden: outside the sources; {_MEND}")
        return Resolved(real, refusal_of(real))


def refusal_of(path: str) -> str | None:
    """Why a path is no file to read (a folder, device, pipe), or None. A missing file is not refused here."""
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"forbidden: {error.strerror}"
    if stat.S_ISREG(mode):
        return None
    what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    return f"forbidden: it is {what}"


def refusal_of_object(url: str) -> str | None:
    """Why no object is read by this URL, or None. A missing object is not refused here.

    >>> refusal_of_object("s3://bucket/a//b.jpg")
    "forbidden: '//' in the name of the object; give it a name without"
    >>> refusal_of_object("s3://bucket/a/b.jpg") is None
    True
    """
    name = "/".join(url.split("/")[3:])
    odd = oddity(name)
    if odd is not None:
        return f"forbidden: {odd} in the name of the object; give it a name without"
    return None if is_own_name(name) else "forbidden: it names no object"
