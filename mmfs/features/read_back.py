"""How long it takes to read stored values back, measured on a few of them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from mmfs.features.decoding.decoders import decode

if TYPE_CHECKING:
    from mmfs.store import Store

#: Blobs that are read and decoded.
_BLOBS = 64
#: Largest table file that is read as a sample, where there is a smaller one.
_FILE_BYTES = 8 << 20
_TRIES = 3


def read_back_s(store: Store, table: str) -> float | None:
    """Seconds a row to read a table's values and decode its blobs, on all cores; None where it has no rows.

    The best of three readings of one shard: what comes first also fills caches, as the first epoch does.

    Raises:
        IntegrityError: Stored bytes are damaged.
    """
    if table not in store.tables:
        return None
    files = [file for file in store.tables.files(table) if file.rows]
    if not files:
        return None
    fitting = [file for file in files if file.size_bytes <= _FILE_BYTES]
    file = max(fitting, key=lambda one: one.rows) if fitting else min(files, key=lambda one: one.size_bytes)
    return min(_reading_s(store, table, file.shard) for _ in range(_TRIES))


def _reading_s(store: Store, table: str, shard: str) -> float:
    spec, began = store.tables.spec(table), time.perf_counter()
    values = [column.name for column in spec.columns if column.name not in {*spec.key, "fingerprint"}]
    rows = store.tables.read(table, columns=values, shard=shard)
    row_s = (time.perf_counter() - began) / max(1, int(rows.num_rows))
    if not spec.blob:
        return row_s
    some, began = rows.slice(0, _BLOBS), time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(decode, spec.codec or ""), store.blobs(table, some)))
    return row_s + (time.perf_counter() - began) / max(1, int(some.num_rows))
