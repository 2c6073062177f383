"""Bytes by name: a local directory or an S3 prefix behind one interface.

Everything that mmfs keeps goes through here, but for the Delta log, which the Delta library keeps itself at
`Objects.delta_url`. Names are relative, with forward slashes; nothing outside the root can be named.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mmfs.errors import IntegrityError, MissingObjectError, StoreError

#: Ranges closer than this are fetched as one. The library's 1 MiB reads 11x the bytes that a sparse subset wants.
COALESCE_BYTES = 128 * 1024

_ODD = {
    "a leading slash": re.compile(r"^/"),
    "'//'": re.compile(r"//"),
    "'.' or '..' between slashes": re.compile(r"(?:^|/)\.\.?(?:/|$)"),
    "a control character": re.compile(r"[\x00-\x1f\x7f]"),
    "a backslash": re.compile(r"\\"),
}
_ANY_ODD = re.compile("|".join(kind.pattern for kind in _ODD.values()))


@dataclass(frozen=True)
class ObjectInfo:
    """One object: its name in the store, its size, and when it was last written (microseconds since 1970, UTC)."""

    path: str
    size_bytes: int
    modified_us: int


class Objects(ABC):
    """Objects under one root. Methods raise StoreError, never the library's own errors.

    Attributes:
        url: The root: an absolute directory or ``s3://bucket/prefix``.
        is_local: Whether the root is a directory of this machine.
    """

    url: str
    is_local: bool

    @classmethod
    def open(cls, url: str | Path) -> Objects:
        """The objects under a directory (made when the first object is put) or ``s3://bucket/prefix``.

        Credentials and endpoint of S3 come from the usual ``AWS_*`` variables.

        Raises:
            StoreError: The URL has another scheme.
        """
        text = str(url)
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
        if scheme is None:
            from mmfs.store.objects_local import LocalObjects

            return LocalObjects(Path(text))
        if scheme[1] == "file":
            from mmfs.store.objects_local import LocalObjects

            return LocalObjects(Path(text.removeprefix("file://")))
        if scheme[1] == "s3":
            from mmfs.store.objects_remote import RemoteObjects

            return RemoteObjects(text)
        raise StoreError(f"cannot keep a store at {text!r}", mend="name a directory or s3://bucket/prefix")

    @abstractmethod
    def put(
        self,
        path: str,
        data: bytes | memoryview | Path,
        *,
        if_absent: bool = False,
        consume: bool = False,
    ) -> None:
        """Write an object whole: readers see the old object, or the new one, never a part.

        Args:
            data: The bytes, or a file that holds them.
            if_absent: Refuse to replace an object that exists.
            consume: The file may be moved away instead of copied.

        Raises:
            StoreError: ``if_absent`` and the object exists, or it cannot be written (full disk, no permission).
        """

    @abstractmethod
    def get(self, path: str) -> bytes:
        """The whole object. Raises StoreError when it does not exist."""

    @abstractmethod
    def get_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, gap_bytes: int = COALESCE_BYTES
    ) -> list[bytes]:
        """The bytes at ``(offset, length)`` each, in the order asked.

        Args:
            gap_bytes: Bytes between two ranges that are rather fetched than make another request to another machine.

        Raises:
            MissingObjectError: The object does not exist.
            IntegrityError: It ends before a range does.
            StoreError: It cannot be read just now, which says nothing of its bytes.
        """

    def with_deadline(self, deadline_s: float, *, until_s: float | None = None) -> Objects:
        """The same objects for a reader who would rather have an error than wait.

        Each read then ends in bytes or in a NoAnswerError within this time, whatever the other machine does; a
        directory of this machine needs no such care.

        Args:
            until_s: A moment of `time.monotonic` at which all reads end, besides.
        """
        return self

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        """The ``length`` bytes at ``offset``."""
        return self.get_ranges(path, [(offset, length)])[0]

    @abstractmethod
    def open_file(self, path: str, *, size_bytes: int | None = None, ahead_bytes: int = COALESCE_BYTES) -> IO[bytes]:
        """The object as a seekable binary file.

        Args:
            size_bytes: How long it is, which saves a request of another machine; None: unknown. Reading one that is
                shorter fails.
            ahead_bytes: Bytes to ask another machine for at once; many for a file that is read from end to end.
        """

    @abstractmethod
    def info(self, path: str) -> ObjectInfo:
        """What is known of an object without reading it. Raises StoreError when it does not exist."""

    def size(self, path: str) -> int:
        """Size in bytes. Raises StoreError when the object does not exist."""
        return self.info(path).size_bytes

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such an object."""

    @abstractmethod
    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly under a folder, sorted; odd ones are left out, as in `list`."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects under a folder, in no order; none when there is no such folder.

        Objects with an odd name (see `oddity`) were put there by others, and are left out, as are markers of folders.
        """

    @abstractmethod
    def page(self, after: str | None = None, *, most: int = 1000) -> Sequence[ObjectInfo]:
        """The first objects whose names come after this one, in the order of their names; fewer only at the end.

        Of a bucket, names are exactly as they are, odd ones (see `oddity`) among them; no other method takes those.
        But in a bucket that is looked at whole, one with a leading slash is given without it if it stands in order so.
        Names that end in a slash, and an empty one, are markers that some programs put for folders. Of a directory,
        odd names are left out, as in `list`.

        Args:
            after: A name, of an object that need not exist; None: begin with the first.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object; one that is gone already is no error."""

    @abstractmethod
    def local_path(self, path: str) -> Path | None:
        """The file behind an object, or None when it is not on this machine."""

    @abstractmethod
    def delta_url(self, path: str) -> str:
        """Where the Delta library finds the table in this folder."""


def oddity(name: str) -> str | None:
    """What is odd about the name of an object, so that nothing here can read, write or delete it; None: nothing.

    >>> oddity("a//b.jpg"), oddity("a/b.jpg")
    ("'//'", None)
    """
    if _ANY_ODD.search(name) is None:
        return None
    return next(kind for kind, pattern in _ODD.items() if pattern.search(name))


def is_own_name(name: str) -> bool:
    """Whether an object of this name can be one that was put here.

    >>> is_own_name("a/b"), is_own_name("a/"), is_own_name("a//b"), is_own_name("")
    (True, False, False, False)
    """
    return bool(name) and not name.endswith("/") and oddity(name) is None


def checked_name(path: str) -> str:
    """The name as given, if it stays inside the root and can be no other's.

    Raises:
        StoreError: It is absolute, empty, climbs out, or is spelled oddly.

    >>> checked_name("packs/frames/000001/ab.tar")
    'packs/frames/000001/ab.tar'
    """
    if not is_own_name(path):
        raise StoreError(
            f"{path!r} is no name inside the store",
            mend="names are relative, without '//', '.', '..', backslash, control characters or a slash at the end",
        )
    return path


def missing(path: str, url: str) -> MissingObjectError:
    """The error for an object that is not there."""
    return MissingObjectError(f"{path} does not exist", where=url, mend="run `mmfs verify` to see what is missing")


def too_short(path: str, url: str, ranges: Sequence[tuple[int, int]]) -> IntegrityError:
    """The error for an object that ends before one of these ranges does."""
    end = max(offset + length for offset, length in ranges)
    return IntegrityError(f"{path} ends before byte {end}", where=url, mend="run `mmfs verify`, which says what to do")
