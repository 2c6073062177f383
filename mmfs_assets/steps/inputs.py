"""What shards of assets are computed from and hold, as digests: they decide whether a shard is fresh.

A digest of rows is read from the footer of the shard's file, and a store may have a hundred thousand of them. Names of
files stand in the table's log, and name their bytes: while they are the same, so are the rows, and no footer is read.
"""

from collections.abc import Sequence

from mmfs.ids import digest
from mmfs.store import Store

#: Keys of materialization metadata that later plans compare with the store.
INPUTS = "mmfs/inputs"
CONTENT = "mmfs/content"
STATE = "mmfs/state"


class Contents:
    """What shards hold in some tables. Each table's log is read once, and footers only where they are asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables = set(store.tables.names())
        self._files: dict[str, dict[str, str]] = {}
        self._digests: dict[str, dict[str, str]] = {}

    def files(self, table: str, shard: str) -> str:
        """The files of a shard; the empty string when it was never written."""
        if table not in self._files:
            files: dict[str, str] = {}
            for file in self._store.tables.files(table) if table in self._tables else ():
                files[file.shard] = f"{files.get(file.shard, '')} {file.path}"
            self._files[table] = files
        return self._files[table].get(shard, "")

    def load(self, tables: Sequence[str], shards: Sequence[str]) -> None:
        """Read the content digests of many shards, side by side."""
        for table in tables:
            known = self._digests.setdefault(table, {})
            absent = [shard for shard in shards if shard not in known]
            if absent and table in self._tables:
                known |= self._store.tables.digests(table, absent)

    def content(self, table: str, shard: str) -> str:
        """Content digest of a shard; the empty string for a table that does not exist yet."""
        self.load([table], [shard])
        return self._digests[table].get(shard, "")

    def inputs(self, reads: Sequence[str], shard: str) -> str:
        """Digest of the shard's rows in the tables that an asset reads."""
        return digest(*(f"{table}={self.content(table, shard)}" for table in sorted(reads)))

    def state(self, reads: Sequence[str], shard: str) -> str:
        """Digest of the files of the shard in these tables."""
        return digest(*(f"{table}={self.files(table, shard)}" for table in sorted(reads)))
