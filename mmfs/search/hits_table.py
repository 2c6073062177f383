"""Hits as a table: keys, scores, time ranges, and what people want to see of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mmfs.ids import sample_key
from mmfs.schemas import GRAIN_KEYS, Grain
from mmfs.search.port import Hit
from mmfs.search.segments import Segment

_COLUMNS = {
    "time_s": pa.float64(),
    "kind": pa.string(),
    "uri": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "duration_s": pa.float64(),
    "licence": pa.string(),
    "caption": pa.string(),
}


def hits_table(
    hits: Sequence[Hit],
    rows: Sequence[Mapping[str, Any]],
    grain: Grain,
    *,
    ranges: Sequence[Segment] | None = None,
    scored: bool = True,
) -> pa.Table:
    """One row a hit.

    Args:
        hits: In rank order.
        rows: What `Look.describe` says of each.
        ranges: The time range of each, for segments.
        scored: False: the score is NULL, because nothing was ranked.
    """
    keys = GRAIN_KEYS[grain]
    columns: dict[str, pa.Array] = {"media_id": pa.array([hit.media_id for hit in hits], pa.string())}
    if len(keys) > 1:
        columns[keys[1].name] = pa.array([hit.index for hit in hits], pa.int64())
    columns["key"] = pa.array([sample_key(hit.media_id, hit.index) for hit in hits], pa.string())
    columns["score"] = pa.array([hit.score if scored else None for hit in hits], pa.float64())
    if ranges is not None:
        columns["segment_start_s"] = pa.array([found.start_s for found in ranges], pa.float64())
        columns["segment_end_s"] = pa.array([found.end_s for found in ranges], pa.float64())
        columns["segment_hits"] = pa.array([found.hits for found in ranges], pa.int64())
    for name, kind in _COLUMNS.items():
        columns[name] = pa.array([row[name] for row in rows], kind)
    columns["shard"] = pa.array([hit.shard for hit in hits], pa.string())
    return pa.table(columns)
