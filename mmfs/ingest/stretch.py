"""Walk through a folder or prefix a stretch at a time: so many entries, in one order, from after the last one seen.

The order is total: the files of a folder by name, then its folders by name, each with all below. (Of a bucket: objects
by name.) A stretch begins after a position in that order, which need not exist any more. So whatever comes and goes
meanwhile, stretch after stretch shows each file that stays exactly once, and lists no folder that lies behind.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.folders import Entry, exists_in, stat_entry
from mmfs.ingest.locations import child_of, is_local
from mmfs.ingest.roots import Roots
from mmfs.store.objects import Objects

#: Objects of a bucket in one stretch: what one request lists.
OBJECTS_AT_ONCE = 1000


@dataclass(frozen=True)
class Folder:
    """Files of one folder by name, how many things in it are no files, and what was odd."""

    location: str
    entries: tuple[Entry, ...]
    skipped: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Neighbours in the order of a walk.

    Attributes:
        folders: The folders with something in the stretch; a folder may go on in the next one.
        looked: Entries looked at, folders among them.
        end: Position after which the next stretch begins; None: the walk is done.
        holds: Whether a folder holds a readable file of this name, in this stretch or not.
    """

    folders: tuple[Folder, ...]
    looked: int
    end: str | None
    holds: Callable[[str, str], bool]


def stretch(
    location: str,
    roots: Roots,
    *,
    depth: int | None = None,
    after: str | None = None,
    most: int | None = None,
    deadline_s: float | None = None,
    ends_at: Callable[[str], bool] = lambda _: False,
) -> Stretch:
    """The first entries after a position. Hidden names are passed over, links to folders are not followed.

    Args:
        depth: Levels below the location to enter; None for all. Buckets are always listed whole.
        after: Where the stretch before this one ended; None: at the beginning.
        most: Entries to look at; of a bucket, `OBJECTS_AT_ONCE` at most. None: all of them, at once.
        deadline_s: Longest time to wait for a bucket; None: as long as the store waits for its own.
        ends_at: A file at which the stretch ends, the file included.

    Raises:
        IngestError: The location itself cannot be listed.
    """
    if is_local(location):
        return _Walk(location, roots, depth, ends_at).stretch(after, most)
    return _objects(location, after, most, deadline_s, ends_at)


class _Walk:
    """One stretch through a folder of this machine."""

    def __init__(self, top: str, roots: Roots, depth: int | None, ends_at: Callable[[str], bool]) -> None:
        self._top, self._roots, self._depth, self._ends_at = top, roots, depth, ends_at
        self._names: dict[str, frozenset[str]] = {}
        self._refused: dict[str, bool] = {}

    def stretch(self, after: str | None, most: int | None) -> Stretch:
        folders: list[Folder] = []
        # What of a folder was seen: nothing, its files up to a name, or all of them and a folder in it in part.
        waiting: list[tuple[str, tuple[str, ...], list[str] | None]] = [
            (self._top, (), None if after is None else after.split("/"))
        ]
        looked, end = 0, after
        while waiting:
            left = None if most is None else most - looked
            if left is not None and left <= 0:
                return self._made(folders, looked, end)
            here, names, seen = waiting.pop()
            entered = seen is not None
            looked += not entered
            scanned = self._scan(here)
            if isinstance(scanned, Folder):
                if not entered:
                    folders.append(scanned)
                    end = "/".join([*names, ""])
                continue
            files, below = scanned
            if seen is not None:
                files = [item for item in files if item.name > seen[0]] if len(seen) == 1 else []
                below = [name for name in below if len(seen) == 1 or name >= seen[0]]
            room = len(files) if left is None else max(0, left - (not entered))
            last = next((n for n, item in enumerate(files[:room], 1) if self._ends_at(item.path)), None)
            taken = files[: last or room]
            looked += len(taken)
            folders.append(self._folder(here, taken))
            if taken or not entered:
                end = "/".join([*names, taken[-1].name if taken else ""])
            if last or len(taken) < len(files):
                return self._made(folders, looked, end)
            if self._depth is None or len(names) < self._depth:
                waiting += [
                    (
                        child_of(here, name),
                        (*names, name),
                        seen[1:] if seen is not None and len(seen) > 1 and name == seen[0] else None,
                    )
                    for name in reversed(below)
                ]
        return self._made(folders, looked, None)

    def _scan(self, here: str) -> tuple[list[os.DirEntry[str]], list[str]] | Folder:
        """Files (and what is neither file nor folder) and folders by name; of a folder that refuses, only why."""
        try:
            with os.scandir(here) as found:
                items = sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.name)
        except OSError as error:
            if here == self._top:
                raise IngestError(f"cannot list {here!r}: {error.strerror}", mend="check its permissions") from error
            return Folder(here, (), warnings=(f"{here!r} cannot be listed: {error.strerror}",))
        below = [item.name for item in items if item.is_dir(follow_symlinks=False)]
        files = [item for item in items if not item.is_dir(follow_symlinks=False)]
        self._names[here] = frozenset(item.name for item in files)
        return files, below

    def _folder(self, here: str, items: list[os.DirEntry[str]]) -> Folder:
        entries: list[Entry] = []
        skipped, warnings = 0, []
        for item in items:
            if item.is_symlink() and os.path.isdir(item.path):
                skipped += 1
                warnings.append(f"{item.path!r} is a link to a folder: name the folder itself to ingest it")
            elif item.is_symlink():
                entries.append(self._link(item.name, item.path))
            elif item.is_file(follow_symlinks=False):
                entries.append(stat_entry(item.name, item.path))
            else:
                skipped += 1  # a pipe, socket or device
        self._refused |= {child_of(here, entry.name): entry.refused is not None for entry in entries}
        return Folder(here, tuple(entries), skipped, tuple(warnings))

    def _link(self, name: str, path: str) -> Entry:
        target = self._roots.resolve(path, "/")
        if target.refused:
            return Entry(name, path, refused=target.refused)
        return stat_entry(name, target.location)

    def _made(self, folders: list[Folder], looked: int, end: str | None) -> Stretch:
        return Stretch(tuple(folders), looked, end, self._holds)

    def _holds(self, folder: str, name: str) -> bool:
        refused = self._refused.get(child_of(folder, name))
        if refused is not None:
            return not refused
        return name in self._names.get(folder, (name,)) and exists_in(folder, name)


def _objects(
    url: str, after: str | None, most: int | None, deadline_s: float | None, ends_at: Callable[[str], bool]
) -> Stretch:
    try:
        objects = Objects.open(url)
        if deadline_s is not None:
            objects = objects.with_deadline(deadline_s)
        count = None if most is None else min(most, OBJECTS_AT_ONCE)
        found = (
            sorted(objects.list(), key=lambda found: found.path) if count is None else objects.page(after, most=count)
        )
    except StoreError as error:
        raise IngestError(f"cannot list {url}: {error.what}", mend=error.mend) from error
    done = count is None or len(found) < count
    folders: dict[str, list[Entry]] = defaultdict(list)
    names: set[str] = set()
    end, looked = None if done else found[-1].path, len(found)
    for number, one in enumerate(found, 1):
        *above, name = one.path.split("/")
        if one.path.endswith("/") or any(part.startswith(".") for part in (*above, name)):
            continue
        location = child_of(url, one.path)
        names.add(location)
        folders["/".join([url.rstrip("/"), *above])].append(Entry(name, location, one.size_bytes, one.modified_us))
        if ends_at(location):
            end, looked = one.path, number
            break

    def holds(folder: str, name: str) -> bool:
        """Whether it does, asking the bucket only for what lies before or after the stretch."""
        location = child_of(folder, name)
        if location in names:
            return True
        path = location.removeprefix(url.rstrip("/") + "/")
        if path == location:  # above the prefix
            return exists_in(folder, name)
        listed = (after is None or path > after) and (end is None or path <= end)
        return not listed and objects.exists(path)

    return Stretch(tuple(Folder(folder, tuple(folders[folder])) for folder in sorted(folders)), looked, end, holds)
