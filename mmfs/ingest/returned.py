"""Files that were away when they were wanted, and are there again: nothing in their listing says so."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.folders import object_exists
from mmfs.ingest.locations import is_local, location_of, scheme_of
from mmfs.media.info import Reason
from mmfs.store import Store

_LOOKING = 16


def returned_files(store: Store) -> dict[tuple[str, str], list[str]]:
    """URIs by step and shard whose quarantine says that they were missing, and that exist now.

    Opens no media. A bucket that cannot be asked has nothing returned, and neither have web addresses.
    """
    if "quarantine" not in store.tables.names():
        return {}
    rows = store.tables.read("quarantine", columns=["stage", "shard", "uri", "reason"])
    away = rows.filter(pc.equal(rows.column("reason"), Reason.MISSING.value)).to_pylist()
    found: dict[tuple[str, str], list[str]] = {}
    with ThreadPoolExecutor(_LOOKING) as pool:
        for row, there in zip(away, pool.map(_exists, (row["uri"] for row in away)), strict=True):
            if there:
                found.setdefault((row["stage"], row["shard"]), []).append(row["uri"])
    return found


def _exists(uri: str) -> bool:
    try:
        location = location_of(uri)
        if is_local(location):
            return os.path.isfile(location)
        return scheme_of(location) not in {"http", "https"} and object_exists(location)
    except (IngestError, StoreError, OSError):
        return False
