"""Which shard holds which key, kept current by reading only data files that were not seen before.

A URI is listed in one shard, and a media is registered in one shard. Both are decided here: whoever commits looks
at the version that the commit will directly follow, and plans again when another shard came to hold one of its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import StalePlanError
from mmfs.store import DataFile, Tables

#: Files read at a time, so that memory stays flat however many shards there are.
_FILES_AT_ONCE = 64


class Holders:
    """Where these keys are held.

    Args:
        table: Table to look into.
        column: Its key column; where it is the first one, files whose bounds leave out all keys are not read.
        keys: The keys of interest; others are never kept in memory.
    """

    def __init__(self, tables: Tables, table: str, column: str, keys: Iterable[str]) -> None:
        self._tables, self._table, self._column = tables, table, column
        self._sorted = sorted(set(keys))
        self._keys = pa.array(self._sorted, pa.string())
        self._bounded = tables.spec(table).key[0] == column
        self._seen: dict[DataFile, Sequence[str]] = {}

    def at(self, version: int | None = None, *, but: str | None = None) -> dict[str, str]:
        """Shards by key, for keys that are held in any.

        Args:
            version: Version of the table; None: the newest.
            but: Leave out this shard.
        """
        if self._bounded:
            files = self._tables.files_reaching(self._table, self._sorted, version=version)
        else:
            files = self._tables.files(self._table, version=version)
        unseen = [file for file in files if file not in self._seen and file.shard != but and file.rows]
        for start in range(0, len(unseen), _FILES_AT_ONCE):
            self._look_into(unseen[start : start + _FILES_AT_ONCE])
        current = set(files)
        self._seen = {file: keys for file, keys in self._seen.items() if file in current}
        return {key: file.shard for file, keys in self._seen.items() if file.shard != but for key in keys}

    def check(self, keys: Iterable[str], shard: str, version: int) -> None:
        """Raise StalePlanError when another shard holds one of these keys at a version."""
        held = self.at(version, but=shard)
        taken = next((key for key in keys if key in held), None)
        if taken is not None:
            raise StalePlanError(
                f"{taken!r} came to shard {held[taken]} of {self._table} in the meantime", mend="plan again"
            )

    def _look_into(self, files: list[DataFile]) -> None:
        rows = self._tables.read(self._table, columns=[self._column, "shard"], files=files)
        rows = rows.filter(pc.is_in(rows.column(self._column), self._keys)) if len(self._keys) else rows.slice(0, 0)
        found: dict[str, list[str]] = {file.shard: [] for file in files}
        for key, shard in zip(rows.column(self._column).to_pylist(), rows.column("shard").to_pylist(), strict=True):
            found[shard].append(key)
        self._seen |= {file: found[file.shard] for file in files}
