"""How a column is distributed over a selection: counts, and quantiles of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.curation.answer import Call, with_metadata
from mmfs.curation.column import column_of, parts_of
from mmfs.errors import CurationError
from mmfs.schemas import Grain
from mmfs.store.arrays import as_arrow

if TYPE_CHECKING:
    from mmfs.store import Store

_QUANTILES = {"min": 0.0, "p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
_BINS = 10
_VALUES = 1000


def distribution(
    store: Store,
    by: str,
    *,
    bins: int | None = None,
    grain: Grain = "frame",
    subset: str | None = None,
    where: str | None = None,
) -> pa.Table:
    """Count samples by the values of a column.

    Args:
        by: ``raw_media.width``, ``frame_quality.sharpness``, or any other column.
        bins: Ranges of equal width for numbers; default: 10 where a column has more than 10 different numbers, else
            every value by itself.
        grain: What is counted; ``media`` counts a video once.
        subset, where: Count these samples only.

    Returns:
        ``value`` (or ``low`` and ``high`` of a range), ``samples`` and ``share``; values most frequent first, ranges
        ascending; null for samples without a value. Figures: ``samples``, ``without``, and of numbers ``mean``,
        ``min``, ``p01`` to ``p99`` and ``max``.

    Raises:
        CurationError: There are too many different values, or ``bins`` is given for what is no number.
        StoreError, WhereError: The subset, the condition or the column is wrong.
    """
    column = column_of(store, by, grain=grain, subset=subset, where=where)
    figures: dict[str, float | int] = {"samples": len(column.samples), "without": column.values.null_count}
    if column.is_number:
        known = column.floats()
        known = known[np.isfinite(known)]
        if len(known):
            figures["mean"] = float(known.mean())
            figures |= {name: float(np.quantile(known, share)) for name, share in _QUANTILES.items()}
            figures["max"] = float(known.max())
        if bins is None and len(np.unique(known)) > _BINS:
            bins = _BINS
    parts = parts_of(column, bins)
    if parts.count > _VALUES:
        raise CurationError(
            f"{by} has {parts.count:,} different values", mend="count them in SQL, or group them by a coarser column"
        )
    sizes = parts.sizes()
    counted = {"samples": as_arrow(sizes), "share": as_arrow(sizes / len(column.samples))}
    if parts.edges is not None:
        unknown = np.isnan(parts.edges[:, 0])
        ends = {name: pa.array(parts.edges[:, side].tolist(), pa.float64(), mask=unknown) for name, side in _SIDES}
        table = pa.table({**ends, **counted})
    else:
        table = pa.table({"value": pa.array(parts.names, column.values.type), **counted})
        table = table.sort_by([("samples", "descending")])
    arguments = {"by": by, "bins": bins, "grain": grain, "subset": subset}
    return with_metadata(table, Call("distribution", arguments, where, None, column.versions), figures)


_SIDES = (("low", 0), ("high", 1))
