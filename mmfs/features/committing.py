"""The one commit of a run: computed rows in, fresh ones kept, all else gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.errors import StalePlanError
from mmfs.features.feature import Feature
from mmfs.features.fingerprint import fingerprint_parts, recorded_parts
from mmfs.features.inputs import find_rows
from mmfs.features.status import Work, current_rows
from mmfs.store.costs import Cost, recorded_cost

if TYPE_CHECKING:
    from mmfs.store import Store
    from mmfs.store.tables import Commit

_COMMIT_TRIES = 10


def commit_rows(store: Store, feature: Feature, work: Work, computed: pa.Table, cost: Cost) -> tuple[Commit, int]:
    """Replace the shard by the computed rows and those that are fresh; the commit, and how many were kept.

    Args:
        cost: What computing took so far; plans to come reckon with it.

    Raises:
        StalePlanError: Others replace the shard again and again.
    """
    table, shard = work.status.table, work.status.shard
    parts = recorded_parts(fingerprint_parts(feature))
    for attempt in range(_COMMIT_TRIES):
        planned = store.tables.state(table, shard)
        kept = _fresh_rows(store, feature, work, computed)
        rows = pa.concat_tables([computed, kept.select(computed.column_names)]) if kept.num_rows else computed
        recorded = recorded_cost(cost, before=store.tables.commit_info(table, shard), kept=kept.num_rows)
        info = {**parts, "model": feature.model_name, **recorded}
        try:
            return store.tables.replace(table, shard, rows, planned=planned, info=info), kept.num_rows
        except StalePlanError:
            if attempt == _COMMIT_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _fresh_rows(store: Store, feature: Feature, work: Work, computed: pa.Table) -> pa.Table:
    """The shard's rows that are fresh and were not computed again."""
    table, shard = work.status.table, work.status.shard
    key = list(work.upstream.keys.column_names)
    current = current_rows(store, feature, shard)
    found = find_rows(current.select(key), work.upstream.keys, key)
    wanted = work.fingerprints.take(pa.array(found, mask=found < 0)).to_pylist()
    have = current.column("fingerprint").to_pylist()
    again = find_rows(current.select(key), computed, key) >= 0
    fresh = [have[i] == wanted[i] and not again[i] for i in range(len(have))]
    kept = pa.array(np.flatnonzero(fresh), pa.int64())
    if not len(kept):
        return computed.slice(0, 0)
    # Vectors of stale rows may have another width than the table has now, so only a shard with fresh rows is read.
    return store.tables.read(table, shard=shard).take(kept)
