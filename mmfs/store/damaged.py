"""Drop rows whose bytes in packs are damaged or gone, so that they are computed again: nothing else would do it, as
their fingerprints are fresh."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import IntegrityError
from mmfs.store.packs import BlobRef, refs_of

if TYPE_CHECKING:
    from mmfs.store.store import Store

#: Blobs that are read at once.
_BLOBS = 256


def drop_damaged(store: Store) -> dict[tuple[str, str], int]:
    """Read every blob; drop the rows of those that differ from their checksum or are not there.

    Pins and older versions keep their files: only a backup mends these.

    Returns:
        Rows dropped, by table and shard.

    Raises:
        StalePlanError: Others were faster 50 times in a row.
    """
    dropped: dict[tuple[str, str], int] = {}
    for name in store.tables.names():
        if store.tables.spec(name).blob is None:
            continue
        for shard, rows in store.tables.shards(name).items():
            bad = set(_damaged(store, name, shard)) if rows else set()
            if bad:
                info = store.tables.commit_info(name, shard)
                commit = store.tables.update(name, shard, partial(_without, bad=bad), info=info)
                dropped[name, shard] = rows - commit.rows
    return dropped


def _damaged(store: Store, name: str, shard: str) -> Iterator[BlobRef]:
    rows = store.tables.read(name, columns=["pack", "offset", "length", "crc32"], shard=shard)
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


def _without(rows: pa.Table, bad: set[BlobRef]) -> pa.Table:
    return rows.filter(pa.array([ref not in bad for ref in refs_of(rows)], pa.bool_()))
