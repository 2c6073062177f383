"""Reading one table, and everything about one media."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.schemas import TableSpec
from mmfs.store import Store
from mmfs.store.keys import Keys, key_columns

if TYPE_CHECKING:
    from mmfs.search.gallery import Gallery


class TableView:
    """One table, to read."""

    def __init__(self, store: Store, spec: TableSpec) -> None:
        self._store = store
        self.spec = spec

    def to_arrow(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        shard: str | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """The rows, in canonical order (by shard and key); vectors as ``fixed_size_list<float16|float32>[dim]``.

        Args:
            columns: Columns wanted; default: all. Others cost no byte.
            where: SQL condition; it may name columns of coarser tables too (``raw_media.width``).
            shard: Only this shard.
            version: Delta version; default: the newest.

        Raises:
            StoreError: There is no such column or version.
            WhereError: The condition is wrong.
        """
        if where is None:
            return self._store.tables.read(self.spec.name, columns=columns, shard=shard, version=version)
        wanted = list(columns) if columns is not None else [*(column.name for column in self.spec.columns), "shard"]
        key = key_columns(self.spec.grain) if self.spec.grain else list(self.spec.key)
        read = self._store.tables.read(
            self.spec.name, columns=list(dict.fromkeys([*wanted, *key, "shard"])), shard=shard, version=version
        )
        return read.filter(self._meets(where, read, version)).select(wanted)

    def show(self, *, where: str | None = None, columns: Sequence[str] | None = None, n: int = 50) -> Gallery:
        """The first rows, to look at: a notebook draws them, ``.to_html(path)`` writes a file.

        Rows that have a picture come as cards: the frame (of a media or a caption, its first), with what the table
        computed of it beside it, else its depth. Other rows come as a table of values.

        Args:
            where: SQL condition, as in `to_arrow`.
            columns: Columns whose values are shown; default: those that say something to people.
            n: Rows, 1 to 200.

        Raises:
            StoreError: ``n`` is out of range, or there is no such column.
            WhereError: The condition is wrong.
        """
        from mmfs.client.showing import show_table

        return show_table(self._store, self, where=where, columns=columns, n=n)

    def first(self, n: int, *, columns: Sequence[str], where: str | None = None) -> tuple[pa.Table, int]:
        """The first n rows, and how many there are. Only shards that hold these rows are read.

        Args:
            n: Rows wanted.
            columns: Columns wanted, with the key and ``shard`` among them.
            where: SQL condition, as in `to_arrow`.
        """
        name, key = self.spec.name, [*self.spec.key, "shard"]
        if where is not None:
            keys = self.to_arrow(columns=key, where=where)
            chosen = keys.slice(0, n)
            rows = self._store.tables.read(name, columns=columns, shard=chosen["shard"].to_pylist())
            return rows.filter(pc.is_in(_joined(rows, key), value_set=_joined(chosen, key))), keys.num_rows
        counts = self._store.tables.shards(name)
        needed, held = [], 0
        for shard in sorted(counts):
            if held >= n:
                break
            needed.append(shard)
            held += counts[shard]
        return self._store.tables.read(name, columns=columns, shard=needed).slice(0, n), sum(counts.values())

    def _meets(self, where: str, rows: pa.Table, version: int | None) -> pa.Array:
        """Whether each row meets the condition, bool [n]."""
        grain = self.spec.grain
        versions = {self.spec.name: version} if version is not None else None
        if grain is not None:
            chosen = Keys.of(self._store.select(grain, where=where, versions=versions), grain)
            # Keys are located in sorted keys, and a table is sorted within each shard only.
            chosen = chosen.at(np.lexsort(((chosen.index,) if chosen.index is not None else ()) + (chosen.media,)))
            return pa.array((Keys.of(rows, grain).locate_in(chosen) >= 0).tolist(), pa.bool_())
        found = self._store.sql(f'SELECT * FROM "{self.spec.name}" WHERE {where}', versions=versions)
        key = [*self.spec.key, "shard"]
        return pc.is_in(_joined(rows, key), value_set=_joined(found, key))


def rows_of(store: Store, media_id: str, index: int | None) -> dict[str, pa.Table]:
    """The rows about one media (or one sample of it) in every table that has any.

    Args:
        index: Frame, caption or window; None for all of them.
    """
    found = {}
    for name in store.tables.names():
        spec = store.tables.spec(name)
        names = {column.name for column in spec.columns}
        if "media_id" not in names:
            continue
        rows = store.tables.read(name)
        keep = pc.equal(rows["media_id"], media_id)
        if index is not None and spec.grain == "frame":
            keep = pc.and_(keep, pc.equal(rows["frame_index"], index))
        rows = rows.filter(keep)
        if rows.num_rows:
            found[name] = rows
    return found


def _joined(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """One string a row that identifies it."""
    texts = [pc.cast(rows[column], pa.string()).combine_chunks() for column in columns]
    return pc.binary_join_element_wise(*texts, "\x00")
