"""Files of folders and objects of prefixes, seen alike: whether they are there, and how to read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from mmfs.errors import IngestError, NoAnswerError, StoreError
from mmfs.ingest.locations import child_of, is_local
from mmfs.ingest.roots import refusal_of, refusal_of_object
from mmfs.store.objects import ObjectInfo, Objects

#: Lists are read in such parts from a bucket: a smaller one would cost a request for every few lines.
_AHEAD_BYTES = 8 << 20
#: Objects of a bucket that one request lists.
OBJECTS_AT_ONCE = 1000


@dataclass(frozen=True)
class Entry:
    """A file in a folder.

    Attributes:
        name: Its name there; of a link, the link's.
        location: Where the bytes are; of a link, the real path.
    """

    name: str
    location: str
    size_bytes: int | None = None
    mtime_us: int | None = None
    refused: str | None = None


def stat_entry(name: str, location: str) -> Entry:
    """The file with its size and time; without them when it is gone."""
    try:
        status = os.stat(location, follow_symlinks=False)
    except OSError:
        return Entry(name, location)
    return Entry(name, location, status.st_size, status.st_mtime_ns // 1000)


class Files:
    """Files of this machine, and objects of buckets through one client a bucket. Good for one look at what there is.

    A bucket that gave no answer once is not asked again: all else of it fails at once.

    Args:
        deadline_s: Longest time to wait for one answer of a bucket; None: as long as the store waits for its own.
        until_s: A moment of `time.monotonic` at which reads of buckets end, besides.
    """

    def __init__(self, deadline_s: float | None = None, *, until_s: float | None = None) -> None:
        self._deadline_s, self._until_s = deadline_s, until_s
        self._clients: dict[str, Objects] = {}
        self._silent: dict[str, NoAnswerError] = {}

    def open(self, location: str) -> IO[bytes]:
        """Open a list, sidecar or original for reading.

        Raises:
            IngestError: It does not exist, is no regular file, or cannot be read.
            NoAnswerError: Its bucket does not answer in time; reading may raise this, too.
        """
        try:
            if is_local(location):
                return _open_regular(location)
            with self._asked(location) as (objects, name):
                return objects.open_file(name, ahead_bytes=_AHEAD_BYTES)
        except OSError as error:
            raise IngestError(
                f"cannot read {location!r}: {error.strerror}", mend="check name and permissions"
            ) from error
        except NoAnswerError:
            raise
        except StoreError as error:
            raise IngestError(f"cannot read {location}: {error.what}", mend=error.mend) from error

    def exists_in(self, folder: str, name: str) -> bool:
        """Whether a folder holds a regular file, or a prefix an object, of this name. A link out of it is none."""
        location = child_of(folder, name)
        if not is_local(location):
            return self.object_exists(location)
        real = os.path.realpath(location)
        inside = real.startswith(os.path.realpath(folder).rstrip("/") + "/")
        return inside and os.path.exists(real) and refusal_of(real) is None

    def object_exists(self, url: str) -> bool:
        """Whether there is an object of this URL. Raises StoreError when the bucket cannot be asked."""
        with self._asked(url) as (objects, name):
            return objects.exists(name)

    def is_silent(self, location: str) -> bool:
        """Whether a file lies in a bucket that gave no answer, and is not asked again."""
        return not is_local(location) and bucket_of(location) in self._silent

    def ask_again(self, location: str) -> None:
        """Ask a silent bucket again: it has an answer about other things."""
        self._silent.pop(bucket_of(location), None)

    def object_entry(self, location: str) -> Entry:
        """One object by its URL.

        Raises:
            IngestError: There is none, it has a name that cannot be read, or the bucket cannot be reached.
        """
        refused = refusal_of_object(location)
        if refused is not None:
            why, _, mend = refused.partition(": ")[2].partition("; ")
            raise IngestError(f"cannot read {location!r}: {why}", mend=mend or "name an object")
        try:
            with self._asked(location) as (objects, name):
                return entry_of(location, objects.info(name))
        except StoreError as error:
            raise IngestError(f"cannot read {location}: {error.what}", mend=error.mend) from error

    def objects_after(self, prefix: str, after: str | None, most: int | None) -> list[ObjectInfo]:
        """Objects under a prefix by name: so many after a name, or all after it.

        Raises:
            IngestError: They cannot be listed.
        """
        try:
            with self._asked(prefix, whole=True) as (objects, _):
                count = most or OBJECTS_AT_ONCE
                found = list(objects.page(after, most=count))
                is_full = most is None and len(found) == count
                while is_full:
                    page = objects.page(found[-1].path, most=count)
                    found += page
                    is_full = len(page) == count
                return found
        except StoreError as error:
            raise IngestError(f"cannot list {prefix}: {error.what}", mend=error.mend) from error

    @contextmanager
    def _asked(self, url: str, *, whole: bool = False) -> Iterator[tuple[Objects, str]]:
        """A client, and what the URL is called there: of the bucket, or of the whole prefix."""
        bucket = bucket_of(url)
        name = url[len(bucket) + 1 :]
        if bucket in self._silent:
            before = self._silent[bucket]
            raise NoAnswerError(f"its bucket gave no answer just now: {before.what}", where=bucket, mend=before.mend)
        if not name and not whole:
            raise IngestError(f"{url!r} names a bucket, not an object", mend="name an object in it")
        root = url if whole else bucket
        if root not in self._clients:
            opened = Objects.open(root)
            self._clients[root] = (
                opened if self._deadline_s is None else opened.with_deadline(self._deadline_s, until_s=self._until_s)
            )
        try:
            yield self._clients[root], name
        except NoAnswerError as error:
            self._silent[bucket] = error
            raise


def entry_of(location: str, found: ObjectInfo) -> Entry:
    """An object of this URL with its size and time.

    The time in whole seconds: asked for one object, buckets tell no more, and no object has two times.
    """
    return Entry(location.rpartition("/")[2], location, found.size_bytes, found.modified_us // 1_000_000 * 1_000_000)


def _open_regular(path: str) -> IO[bytes]:
    # Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise IngestError(f"{path!r} is no regular file", mend="name a file, a folder or a glob")
    return file


def bucket_of(url: str) -> str:
    """The bucket that an object lies in.

    >>> bucket_of("s3://bucket/x/a.jpg")
    's3://bucket'
    """
    return "/".join(url.split("/", 3)[:3])
