"""Files of folders and objects of prefixes, seen alike: whether they are there, and how to read them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import IO

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.locations import child_of, is_local, parent_of
from mmfs.ingest.roots import refusal_of
from mmfs.store.objects import Objects


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


def open_binary(location: str) -> IO[bytes]:
    """Open a list or sidecar for reading.

    Raises:
        IngestError: It does not exist, is no regular file, or cannot be read.
    """
    try:
        if is_local(location):
            return _open_regular(location)
        folder, name = _split(location)
        return Objects.open(folder).open_file(name)
    except OSError as error:
        raise IngestError(f"cannot read {location!r}: {error.strerror}", mend="check name and permissions") from error
    except StoreError as error:
        raise IngestError(f"cannot read {location}: {error.what}", mend=error.mend) from error


def _open_regular(path: str) -> IO[bytes]:
    # Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise IngestError(f"{path!r} is no regular file", mend="name a file, a folder or a glob")
    return file


def exists_in(folder: str, name: str) -> bool:
    """Whether a folder holds a regular file, or a prefix an object, of this name. A link out of the folder is none."""
    location = child_of(folder, name)
    if not is_local(location):
        return Objects.open(folder).exists(name)
    real = os.path.realpath(location)
    inside = real.startswith(os.path.realpath(folder).rstrip("/") + "/")
    return inside and os.path.exists(real) and refusal_of(real) is None


def object_exists(url: str) -> bool:
    """Whether there is an object of this URL. Raises StoreError when the bucket cannot be asked."""
    folder, name = _split(url)
    return Objects.open(folder).exists(name)


def object_entry(location: str) -> Entry:
    """One object by its URL.

    Raises:
        IngestError: There is none, or the bucket cannot be reached.
    """
    folder, name = _split(location)
    try:
        return Entry(name, location, Objects.open(folder).size(name))
    except StoreError as error:
        raise IngestError(f"cannot read {location}: {error.what}", mend=error.mend) from error


def _split(url: str) -> tuple[str, str]:
    folder = parent_of(url)
    if folder is None:
        raise IngestError(f"{url!r} names a bucket, not an object", mend="name an object in it")
    return folder, url[len(folder) + 1 :]
