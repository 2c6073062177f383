"""The files of the tables at one moment: a search looks once, then works on what it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmfs.store import DataFile, Store

Files = Mapping[str, tuple["DataFile", ...]]
_REMEMBERED = 64


@dataclass(frozen=True)
class _Seen:
    """A table at a version, and how its log on a local disk looked before."""

    version: int
    files: Files
    log: Path
    changed_ns: int

    def is_newest(self) -> bool:
        """Whether nothing was committed since. The log's own time tells, but not two commits of one clock tick."""
        return _changed_ns(self.log) == self.changed_ns and not (self.log / f"{self.version + 1:020}.json").exists()


def _changed_ns(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return None


class FilesByShard:
    """Files of tables by shard, remembered by version: a version never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, int], Files] = {}
        self._seen: dict[str, _Seen] = {}

    def now(self) -> Now:
        """The tables as they are from now on, each looked at when it is first asked for."""
        return Now(self)

    def look(self, table: str) -> tuple[int, Files]:
        """Newest version of a table, and its files by shard.

        Two looks at a folder are a hundred times cheaper than asking the log; a search asks five tables.
        """
        seen = self._seen.get(table)
        if seen is not None and seen.is_newest():
            return seen.version, seen.files
        log = self._store.objects.local_path(f"{table}/_delta_log")
        changed_ns = _changed_ns(log) if log is not None else None
        version, files = self._ask(table)
        if log is not None and changed_ns is not None:
            self._seen[table] = _Seen(version, files, log, changed_ns)
        return version, files

    def _ask(self, table: str) -> tuple[int, Files]:
        snapshot = self._store.tables.log.snapshot(table)
        key = (table, snapshot.version)
        if key not in self._known:
            files: dict[str, tuple[DataFile, ...]] = {}
            for file in snapshot.files:
                files[file.shard] = (*files.get(file.shard, ()), file)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = files
        return snapshot.version, self._known[key]


class Now:
    """One moment of the tables."""

    def __init__(self, tables: FilesByShard) -> None:
        self._tables = tables
        self._seen: dict[str, tuple[int, Files]] = {}

    def version(self, table: str) -> int:
        """Version of the table at this moment."""
        return self._look(table)[0]

    def files(self, table: str) -> Files:
        """Files of the table at this moment, by shard."""
        return self._look(table)[1]

    def _look(self, table: str) -> tuple[int, Files]:
        if table not in self._seen:
            self._seen[table] = self._tables.look(table)
        return self._seen[table]
