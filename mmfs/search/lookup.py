"""What the tables say of hits now: whether they still exist, and the columns that people want to see."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mmfs.schemas import Grain
from mmfs.search.now import FilesByShard, Now
from mmfs.search.port import Hit
from mmfs.store.keys import Keys

if TYPE_CHECKING:
    from mmfs.store import DataFile, Store

_CACHED_ROWS = 4_000_000
_MEDIA_COLUMNS = ("uri", "kind", "width", "height", "duration_s", "licence")


@dataclass(frozen=True)
class Rows:
    """Rows of one table in one shard, sorted by key."""

    table: pa.Table
    keys: Keys

    def find(self, media_id: str, index: int | None = None) -> int | None:
        """Row number of a key; with ``index`` None, of the first row of the media."""
        wanted = np.bytes_(media_id.encode())
        first = int(np.searchsorted(self.keys.media, wanted, side="left"))
        end = int(np.searchsorted(self.keys.media, wanted, side="right"))
        if first == end or index is None or self.keys.index is None:
            return first if first < end else None
        row = first + int(np.searchsorted(self.keys.index[first:end], index))
        return row if row < end and self.keys.index[row] == index else None


class Lookup:
    """Reads rows of hits, one shard's files at a time, and keeps what it read: files never change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = FilesByShard(store)
        self._cache: OrderedDict[tuple[str, ...], Rows] = OrderedDict()
        self._tombstones: tuple[int, frozenset[str]] | None = None

    def now(self) -> Look:
        """The tables as they are from now on."""
        return Look(self, self._files.now())

    def rows(self, table: str, files: tuple[DataFile, ...]) -> Rows:
        """Rows of these files, without vectors."""
        key = (table, *(file.path for file in files))
        if key not in self._cache:
            spec = self._store.tables.spec(table)
            columns = [column.name for column in spec.columns if not column.vector and column.name != "attributes"]
            rows = self._store.tables.read(table, columns=columns, files=files).combine_chunks()
            self._cache[key] = Rows(rows, Keys.of(rows, spec.grain or "media"))
            while len(self._cache) > 1 and sum(found.table.num_rows for found in self._cache.values()) > _CACHED_ROWS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def taken_down(self, version: int) -> frozenset[str]:
        """Media that must not be shown, at a version of the tombstones."""
        if self._tombstones is None or self._tombstones[0] != version:
            rows = self._store.tables.read("tombstones", columns=["media_id"], version=version)
            self._tombstones = (version, frozenset(rows.column(0).to_pylist()))
        return self._tombstones[1]


@dataclass(frozen=True)
class Look:
    """Rows of hits at one moment of the tables."""

    _lookup: Lookup
    now: Now

    @property
    def taken_down(self) -> frozenset[str]:
        """Media that must not be shown."""
        return self._lookup.taken_down(self.now.version("tombstones"))

    def living(self, hits: Sequence[Hit], table: str) -> list[Hit]:
        """The hits whose row still exists in the embedding table and whose media was not taken down."""
        gone = self.taken_down
        return [
            hit
            for hit in hits
            if hit.media_id not in gone and self._rows(table, hit.shard).find(hit.media_id, hit.index) is not None
        ]

    def time_s(self, hit: Hit) -> float | None:
        """Time of a frame in its media, in seconds."""
        time_s: float | None = self._values("frames", hit, hit.index, ("time_s",)).get("time_s")
        return time_s

    def describe(self, hit: Hit, grain: Grain) -> dict[str, Any]:
        """Columns of one hit: of its media, its time where it is a frame, and its first caption."""
        found: dict[str, Any] = dict.fromkeys(_MEDIA_COLUMNS)
        found |= self._values("raw_media", hit, None, _MEDIA_COLUMNS)
        found["time_s"] = self.time_s(hit) if grain == "frame" else None
        index = hit.index if grain == "caption" else None
        found["caption"] = self._values("captions", hit, index, ("text",)).get("text")
        return found

    def row_of(self, table: str, shard: str, media_id: str, index: int | None) -> pa.Table:
        """The row of a table with this key, with ``index`` None the first of the media; one row or none."""
        rows = self._rows(table, shard)
        row = rows.find(media_id, index)
        return rows.table.slice(row or 0, 0 if row is None else 1)

    def _values(self, table: str, hit: Hit, index: int | None, columns: Sequence[str]) -> dict[str, Any]:
        rows = self._rows(table, hit.shard)
        row = rows.find(hit.media_id, index)
        return {} if row is None else {name: rows.table.column(name)[row].as_py() for name in columns}

    def _rows(self, table: str, shard: str) -> Rows:
        return self._lookup.rows(table, self.now.files(table).get(shard, ()))
