"""Media that were taken down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Ids, media_ids

if TYPE_CHECKING:
    from mmfs.store.store import Store

_TABLE = "tombstones"
#: Clocks of machines that take down and machines that pin are at most so far apart.
_CLOCKS_APART_US = 86_400_000_000


def taken_down(store: Store) -> Ids:
    """Sorted ids of all media that were taken down so far, S32 [n].

    A table without a data file never had a row: where nothing was ever taken down, no table log is opened.
    """
    if not any(info.path.endswith(".parquet") for info in store.objects.list(_TABLE)):
        return np.empty(0, "S32")
    return np.unique(media_ids(store.tables.read(_TABLE, columns=["media_id"]).column("media_id")))


def taken_down_since(store: Store, time_us: int) -> Ids:
    """Sorted ids of media that were taken down after a time, S32 [n]; some that were a little before, as clocks differ.

    Args:
        time_us: Microseconds since 1970.
    """
    rows = store.tables.read(_TABLE, columns=["media_id", "at_us"])
    times = as_numpy(rows.column("at_us").fill_null(time_us)).astype(np.int64, copy=False)
    return np.unique(media_ids(rows.column("media_id"))[times >= time_us - _CLOCKS_APART_US])
