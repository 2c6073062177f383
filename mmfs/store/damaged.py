"""Drop rows whose bytes in packs are damaged or gone, and all rows of data files that are, so that they are computed
again: nothing else would do it, as their fingerprints are fresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import IntegrityError, StalePlanError
from mmfs.schemas import TableSpec
from mmfs.store.arrays import empty_table
from mmfs.store.data_check import checked_rows
from mmfs.store.packs import BlobRef, refs_of
from mmfs.store.rows import public_schema

if TYPE_CHECKING:
    from mmfs.store.store import Store

#: Blobs that are read at once.
_BLOBS = 256


def drop_damaged(
    store: Store, tell: Callable[[str, str, int], object] = lambda _table, _shard, _rows: None
) -> dict[tuple[str, str], int]:
    """Read every row that was computed, and every blob; drop what differs from its checksum or is not there.

    Of a data file that is not what was written all rows are dropped. Files of tables that nothing computes, pins and
    older versions stay as they are: only a backup mends these.

    Args:
        tell: Is told table, shard and rows as soon as they are dropped: an error later on takes back nothing.

    Returns:
        Rows dropped, by table and shard.

    Raises:
        StalePlanError: Others were faster 50 times in a row.
        StoreError: Something cannot be read here and now. Nothing is known to be damaged there, so that nothing of it
            is dropped, nor of what comes after it.
    """
    dropped: dict[tuple[str, str], int] = {}
    for spec in map(store.tables.spec, store.tables.names()):
        for shard in store.tables.shards(spec.name) if spec.is_derived else ():
            rows = _drop_of(store, spec, shard)
            if rows is not None:
                dropped[spec.name, shard] = rows
                tell(spec.name, shard, rows)
    return dropped


def _drop_of(store: Store, spec: TableSpec, shard: str) -> int | None:
    """How many rows of a shard were dropped; None when it is whole, or was written anew meanwhile."""
    planned = store.tables.state(spec.name, shard)
    try:
        parts = [checked_rows(store.objects, spec, file, deep=True) for file in planned.files]
    except IntegrityError:
        try:
            store.tables.replace(spec.name, shard, empty_table(public_schema(spec)), planned=planned)
        except StalePlanError:
            return None
        return sum(file.rows for file in planned.files)
    bad = {ref for rows in parts for ref in _damaged(store, spec.name, rows)} if spec.blob else set()
    if not bad:
        return None
    dropped = 0

    def without_bad(rows: pa.Table) -> pa.Table:
        nonlocal dropped  # of the rows that are replaced, which may be others than those that were looked at
        kept = rows.filter(pa.array([ref not in bad for ref in refs_of(rows)], pa.bool_()))
        dropped = rows.num_rows - kept.num_rows
        return kept

    store.tables.update(spec.name, shard, without_bad, info=store.tables.commit_info(spec.name, shard))
    return dropped or None


def _damaged(store: Store, name: str, rows: pa.Table) -> Iterator[BlobRef]:
    for start in range(0, rows.num_rows, _BLOBS):
        batch = rows.slice(start, _BLOBS)
        try:
            store.blobs(name, batch)
        except IntegrityError:
            yield from (ref for number, ref in enumerate(refs_of(batch)) if not _is_whole(store, name, batch, number))


def _is_whole(store: Store, name: str, rows: pa.Table, number: int) -> bool:
    try:
        store.blobs(name, rows.slice(number, 1))
    except IntegrityError:
        return False
    return True
