"""Walk through a folder or prefix a stretch at a time: so many entries, in one order, from after the last one seen.

The order is total: the files of a folder by name, then its folders by name, each with all below. (Of a bucket: objects
by name.) A stretch begins after a position in that order, which need not exist any more. So whatever comes and goes
meanwhile, stretch after stretch shows each file that stays exactly once, and lists no folder that lies behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, takewhile

from mmfs.errors import IngestError
from mmfs.ingest.folders import OBJECTS_AT_ONCE, Entry, Files, entry_of, stat_entry
from mmfs.ingest.locations import child_of, is_local
from mmfs.ingest.roots import Roots, refusal_of_object
from mmfs.store.objects import is_own_name


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
        folders: The folders with something in the stretch, in the order of the walk. A folder may go on in the next
            stretch; one of a bucket also behind another folder, since objects are in the order of their names. An
            object that cannot be read because of its name is a refused entry, in the folder above what is odd in it.
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
    files: Files,
    *,
    depth: int | None = None,
    after: str | None = None,
    most: int | None = None,
    until_s: float | None = None,
    ends_at: Callable[[str], bool] = lambda _: False,
) -> Stretch:
    """The first entries after a position. Hidden names are passed over, links to folders are not followed.

    Args:
        depth: Levels below the location to enter; None for all. Buckets are always listed whole.
        after: Where the stretch before this one ended; None: at the beginning.
        most: Entries to look at; of a bucket, `OBJECTS_AT_ONCE` at most. None: all of them, at once.
        until_s: A moment of `time.monotonic` at which the stretch ends, once it has an entry.
        ends_at: A file at which the stretch ends, the file included.

    Raises:
        IngestError: The location itself cannot be listed.
    """
    if is_local(location):
        return _Walk(location, roots, files, depth, until_s, ends_at).stretch(after, most)
    return _objects(location, files, after, most, ends_at)


class _Walk:
    """One stretch through a folder of this machine."""

    def __init__(
        self,
        top: str,
        roots: Roots,
        files: Files,
        depth: int | None,
        until_s: float | None,
        ends_at: Callable[[str], bool],
    ) -> None:
        self._top, self._roots, self._files, self._depth = top, roots, files, depth
        self._until_s, self._ends_at = until_s, ends_at
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
            if (left is not None and left <= 0) or (looked and self._is_late()):
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
            folder, count = self._folder(here, files[: last or room], least=0 if looked else 1)
            taken = files[:count]
            looked += count
            folders.append(folder)
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

    def _folder(self, here: str, items: list[os.DirEntry[str]], *, least: int) -> tuple[Folder, int]:
        """Look at the files: at least so many, and no more when the time is over; how many it were."""
        entries: list[Entry] = []
        skipped, warnings, count = 0, [], len(items)
        for number, item in enumerate(items):
            if number >= least and self._is_late():
                count = number
                break
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
        return Folder(here, tuple(entries), skipped, tuple(warnings)), count

    def _is_late(self) -> bool:
        return self._until_s is not None and time.monotonic() >= self._until_s

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
        return name in self._names.get(folder, (name,)) and self._files.exists_in(folder, name)


def _objects(url: str, files: Files, after: str | None, most: int | None, ends_at: Callable[[str], bool]) -> Stretch:
    count = None if most is None else min(most, OBJECTS_AT_ONCE)
    found = files.objects_after(url, after, count)
    done = count is None or len(found) < count
    entries: list[tuple[str, Entry]] = []  # with their folders
    names: set[str] = set()
    end, looked = None if done else found[-1].path, len(found)
    for number, one in enumerate(found, 1):
        parts = one.path.split("/")
        if not parts[-1] or any(part.startswith(".") and part not in {".", ".."} for part in parts):
            continue
        location = child_of(url, one.path)
        refused = refusal_of_object(location)
        if refused is not None:
            # Folders have plain names: what is odd, and all below, is in the name of the entry.
            above = list(takewhile(is_own_name, parts[:-1]))
            entry = Entry("/".join(parts[len(above) :]), location, refused=refused)
            entries.append(("/".join([url.rstrip("/"), *above]), entry))
            continue
        names.add(location)
        entries.append(("/".join([url.rstrip("/"), *parts[:-1]]), entry_of(location, one)))
        if ends_at(location):
            end, looked = one.path, number
            break

    def holds(folder: str, name: str) -> bool:
        """Whether it does, asking the bucket only for what lies before or after the stretch."""
        location = child_of(folder, name)
        if location in names or refusal_of_object(location) is not None:
            return location in names
        path = location.removeprefix(url.rstrip("/") + "/")
        listed = path != location and (after is None or path > after) and (end is None or path <= end)
        return not listed and files.exists_in(folder, name)

    folders = (
        Folder(folder, tuple(entry for _, entry in run)) for folder, run in groupby(entries, key=lambda one: one[0])
    )
    return Stretch(tuple(folders), looked, end, holds)
