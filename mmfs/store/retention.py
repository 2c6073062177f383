"""Vacuum: delete what no kept version and no pin names. Nothing else in mmfs deletes data of tables, or packs.

Kept are: the files of all current tables, files replaced within the last ``keep_days``, the files and packs of every
pin, every pack that a row of a kept file names, and whatever may belong to a write in progress.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfs.store.log_cleanup import pinned_versions, unneeded_entries
from mmfs.store.objects import ObjectInfo
from mmfs.store.pins import Pins

if TYPE_CHECKING:
    from mmfs.store.store import Store

_DAY_US = 86_400_000_000
#: Files that nobody names may belong to a write in progress; a shard is written in less than this.
_IN_PROGRESS_US = _DAY_US
#: Entries of table logs stay so long at least: they tell which run committed what, and when.
_LOG_DAYS = 30


@dataclass(frozen=True)
class VacuumReport:
    """What a vacuum deleted.

    Attributes:
        data_files: Parquet files of tables.
        packs: Packs.
        leftovers: Files of writes that never finished.
        bytes_freed: Size of all of them.
        pins: Names of the pins that were obeyed.
        log_entries: Entries of table logs that open no version which can still be read.
    """

    data_files: int
    packs: int
    leftovers: int
    bytes_freed: int
    pins: tuple[str, ...]
    log_entries: int = 0

    @property
    def files_deleted(self) -> int:
        """All files deleted."""
        return self.data_files + self.packs + self.leftovers + self.log_entries


def vacuum(store: Store, *, keep_days: float = 7, now_us: int) -> VacuumReport:
    """Delete unpinned history older than ``keep_days``, packs nobody names, and leftovers of crashed writes.

    Older versions that lose a file can no longer be read by number; pins of them can.

    Args:
        keep_days: Days for which replaced files stay, so that readers of old versions are not surprised.
        now_us: The time, microseconds since 1970.

    Raises:
        PinError: A pin cannot be read; then nothing is deleted.
        IntegrityError: A kept data file cannot be read; then no pack is deleted.
    """
    pins = Pins(store)
    names = tuple(pins.names())
    pinned = [pins.get(name) for name in names]
    kept_files = {file.path for pin in pinned for table in pin.tables.values() for file in table.files}
    kept_packs = {pack for pin in pinned for table in pin.tables.values() for pack in table.packs}
    hours = math.ceil(keep_days * 24)
    unnamed_before_us = now_us - max(int(keep_days * _DAY_US), _IN_PROGRESS_US)

    data_files = _delete(store, _expired(store, kept_files, hours=hours, unnamed_before_us=unnamed_before_us))
    # Only now, so that packs of the files just deleted are free as well.
    kept_packs |= _packs_of_rows(store)
    packs = _delete(
        store,
        (
            found
            for found in store.objects.list("packs")
            if found.path not in kept_packs and found.modified_us < unnamed_before_us
        ),
    )
    leftovers = _delete(
        store, (found for found in store.objects.list("staging") if found.modified_us < now_us - _IN_PROGRESS_US)
    )
    before_us = now_us - int(max(keep_days, _LOG_DAYS) * _DAY_US)
    log_entries = [
        entry
        for name in store.tables.names()
        for entry in _delete(
            store,
            unneeded_entries(store.objects, name, pinned=pinned_versions(pinned, name), before_us=before_us),
        )
    ]
    return VacuumReport(
        len(data_files),
        len(packs),
        len(leftovers),
        sum(found.size_bytes for found in (*data_files, *packs, *leftovers, *log_entries)),
        names,
        len(log_entries),
    )


def _expired(store: Store, kept: set[str], *, hours: int, unnamed_before_us: int) -> list[ObjectInfo]:
    """Data files to delete: replaced longer ago than ``hours``, or never committed and old enough to be given up."""
    found = []
    for name in store.tables.names():
        replaced = store.tables.log.expired(name, hours=hours, unnamed=False)
        unnamed = store.tables.log.expired(name, hours=hours, unnamed=True) - replaced
        if not (replaced | unnamed) - kept:
            continue
        for info in store.objects.list(name):
            if info.path in kept:
                continue
            if info.path in replaced or (info.path in unnamed and info.modified_us < unnamed_before_us):
                found.append(info)
    return found


def _packs_of_rows(store: Store) -> set[str]:
    """Packs that rows of any data file that still exists name, in old versions as in new ones."""
    packs: set[str] = set()
    for name in store.tables.names():
        if store.tables.spec(name).blob is None:
            continue
        for info in store.objects.list(name):
            if info.path.endswith(".parquet") and "/_delta_log/" not in info.path:
                packs |= store.tables.packs_of(info)
    return packs


def _delete(store: Store, objects: Iterable[ObjectInfo]) -> list[ObjectInfo]:
    deleted = list(objects)
    for info in deleted:
        store.objects.delete(info.path)
    return deleted
