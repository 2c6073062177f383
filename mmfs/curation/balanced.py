"""Samples drawn so that every value of a column is there as often as any other, as far as there are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmfs.curation.answer import Call, answer
from mmfs.curation.column import column_of, parts_of
from mmfs.errors import CurationError
from mmfs.schemas import Grain
from mmfs.store.keys import Int64s

if TYPE_CHECKING:
    import pyarrow as pa

    from mmfs.store import Store


def balanced(
    store: Store,
    by: str,
    *,
    n: int | None = None,
    each: int | None = None,
    bins: int | None = None,
    grain: Grain = "frame",
    subset: str | None = None,
    where: str | None = None,
    seed: int = 0,
) -> pa.Table:
    """Draw samples evenly over the values of a column.

    Args:
        by: ``raw_media.kind``, or any other column. Samples without a value count as a value of their own.
        n: How many in all. Rare values give all they have, the others share the rest.
        each: Or: at most how many of each value.
        bins: Cut numbers into so many ranges of equal width, and balance these.
        grain: What a sample is.
        subset, where: Draw among these samples only.
        seed: Chooses the samples; equal seeds draw equal samples.

    Returns:
        In canonical order: key columns, ``key`` and ``part``, the number of the value. Figures: ``parts``, with the
        samples there are and those drawn of each.

    Raises:
        CurationError: There are fewer samples than wanted, or not exactly one of ``n`` and ``each`` is given.
        StoreError, WhereError: The subset, the condition or the column is wrong.
    """
    from mmfs.store.arrays import as_arrow

    if (n is None) == (each is None):
        raise CurationError("balanced draws n samples or each of every value", mend="give one of n= and each=")
    column = column_of(store, by, grain=grain, subset=subset, where=where)
    parts = parts_of(column, bins)
    there = parts.sizes()
    if n is not None and not 1 <= n <= len(column.samples):
        raise CurationError(f"n = {n}", where=by, mend=f"there are {len(column.samples):,} samples: ask for 1 to that")
    if each is not None and each < 1:
        raise CurationError(f"each = {each}", where=by, mend="ask for at least one of every value")
    wanted = np.minimum(there, each) if each is not None else even_shares(there, n or 0)
    draw = np.random.default_rng(seed)
    order = np.argsort(parts.codes, kind="stable")
    drawn = [
        draw.choice(members, count, replace=False)
        for members, count in zip(np.split(order, np.cumsum(there)[:-1]), wanted.tolist(), strict=True)
    ]
    rows = np.sort(np.concatenate(drawn)).astype(np.int64)
    names = (
        parts.names if parts.names is not None else (parts.edges if parts.edges is not None else np.empty(0)).tolist()
    )
    figures = {
        "parts": [
            {"value": name, "samples": samples, "drawn": count}
            for name, samples, count in zip(names, there.tolist(), wanted.tolist(), strict=True)
        ]
    }
    arguments = {"by": by, "n": n, "each": each, "bins": bins, "grain": grain, "subset": subset, "seed": seed}
    call = Call("balanced", arguments, where, None, column.versions)
    return answer(call, column.samples, rows, {"part": as_arrow(parts.codes[rows])}, figures)


def even_shares(there: Int64s, total: int) -> Int64s:
    """How many to take of each part, so that they come to ``total`` and differ as little as the parts allow.

    Args:
        there: Size of each part, int64 [p], together at least ``total``.

    >>> even_shares(np.array([2, 100, 50]), 30).tolist()
    [2, 14, 14]
    """
    taken = np.zeros(len(there), np.int64)
    left, open_parts = total, len(there)
    for part in np.argsort(there, kind="stable").tolist():
        taken[part] = min(int(there[part]), left // open_parts)
        left -= int(taken[part])
        open_parts -= 1
    return taken
