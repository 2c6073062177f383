"""The files of the tables at one moment: a search looks once, then works on what it saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmfs.store import DataFile, Store

Files = Mapping[str, tuple["DataFile", ...]]
_REMEMBERED = 64


class FilesByShard:
    """Files of tables by shard, remembered by version: a version never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, int], Files] = {}

    def now(self) -> Now:
        """The tables as they are from now on, each looked at when it is first asked for."""
        return Now(self)

    def look(self, table: str) -> tuple[int, Files]:
        """Newest version of a table, and its files by shard."""
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
