"""Folders and prefixes, seen alike: what lies in them, sorted, and how to read it."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.locations import child_of, is_local, parent_of
from mmfs.ingest.roots import Roots, refusal_of
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


@dataclass(frozen=True)
class Folder:
    """One folder: its files by name, how many things in it are no files, and what was odd."""

    location: str
    entries: tuple[Entry, ...]
    skipped: int = 0
    warnings: tuple[str, ...] = ()


def walk(location: str, roots: Roots, *, depth: int | None = None) -> Iterator[Folder]:
    """All folders under a location, itself first. Hidden names are passed over, links to folders are not followed.

    Args:
        depth: Levels below the location to enter; None for all. Buckets are always listed whole.

    Raises:
        IngestError: The location itself cannot be listed.
    """
    return _walk_local(location, roots, depth) if is_local(location) else _walk_bucket(location)


def _walk_local(top: str, roots: Roots, depth: int | None) -> Iterator[Folder]:
    waiting = [(top, 0)]
    while waiting:
        here, level = waiting.pop()
        entries: list[Entry] = []
        below: list[str] = []
        skipped, warnings = 0, []
        try:
            with os.scandir(here) as found:
                names = sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.name)
        except OSError as error:
            if here == top:
                raise IngestError(f"cannot list {here!r}: {error.strerror}", mend="check its permissions") from error
            yield Folder(here, (), warnings=(f"{here!r} cannot be listed: {error.strerror}",))
            continue
        for item in names:
            if item.is_dir(follow_symlinks=False):
                below.append(item.path)
            elif item.is_symlink() and os.path.isdir(item.path):
                skipped += 1
                warnings.append(f"{item.path!r} is a link to a folder: name the folder itself to ingest it")
            elif item.is_symlink():
                entries.append(_link(item.name, item.path, roots))
            elif item.is_file(follow_symlinks=False):
                entries.append(stat_entry(item.name, item.path))
            else:
                skipped += 1  # a pipe, socket or device
        if depth is None or level < depth:
            waiting += [(path, level + 1) for path in reversed(below)]
        yield Folder(here, tuple(entries), skipped, tuple(warnings))


def _link(name: str, path: str, roots: Roots) -> Entry:
    target = roots.resolve(path, "/")
    if target.refused:
        return Entry(name, path, refused=target.refused)
    return stat_entry(name, target.location)


def stat_entry(name: str, location: str) -> Entry:
    """The file with its size and time; without them when it is gone."""
    try:
        status = os.stat(location, follow_symlinks=False)
    except OSError:
        return Entry(name, location)
    return Entry(name, location, status.st_size, status.st_mtime_ns // 1000)


def _walk_bucket(url: str) -> Iterator[Folder]:
    folders: dict[str, list[Entry]] = defaultdict(list)
    try:
        for found in Objects.open(url).list():
            parts = found.path.split("/")
            if found.path.endswith("/") or any(part.startswith(".") for part in parts):
                continue
            folder = "/".join([url.rstrip("/"), *parts[:-1]])
            location = child_of(url, found.path)
            folders[folder].append(Entry(parts[-1], location, found.size_bytes, found.modified_us))
    except StoreError as error:
        raise IngestError(f"cannot list {url}: {error.what}", mend=error.mend) from error
    for folder in sorted(folders):
        yield Folder(folder, tuple(sorted(folders[folder], key=lambda entry: entry.name)))


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
