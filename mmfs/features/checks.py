"""What must hold of a feature's rows: each check lists what is wrong in one shard, and names the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.codecs import decode_depth16
from mmfs.errors import IntegrityError
from mmfs.features.feature import Feature
from mmfs.features.inputs import key_strings
from mmfs.features.status import compare
from mmfs.store.problem import EXAMPLES, Problem

if TYPE_CHECKING:
    from mmfs.store import Store

#: How far a vector of float16 may be from unit length: rounding alone reaches a third of it.
_UNIT_TOLERANCE = 5e-3
_DECODED_MAPS = 16


def unmatched_keys(store: Store, feature: Feature, shard: str) -> list[Problem]:
    """Rows that lack a partner: inputs that were neither computed nor quarantined, and rows without an input."""
    work = compare(store, feature, shard)
    there = key_strings(work.current, work.current.column_names[:-1])
    todo = work.upstream.key_strings.take(pa.array(work.todo))
    # Also those that are to be tried again: until then they are where they were.
    failed = store.tables.read("quarantine", columns=["uri", "stage"], shard=shard)
    failed = failed.filter(pc.equal(failed.column("stage"), feature.spec.table)).column("uri").combine_chunks()
    found = {
        "input rows have no row here and none in quarantine": _without(todo, pa.concat_arrays([there, failed])),
        "rows have no input row": _without(there, work.upstream.key_strings),
    }
    return [Problem.of(keys, f"{len(keys)} {what}") for what, keys in found.items() if keys]


def odd_vectors(store: Store, table: str, shard: str, *, unit: bool) -> list[Problem]:
    """Vectors that are not finite; with ``unit``, also those that are not of unit length."""
    spec = store.tables.spec(table)
    problems = []
    for column in (column for column in spec.columns if column.vector):
        rows = store.tables.read(table, columns=[*spec.key, column.name], shard=shard)
        rows = rows.filter(rows.column(column.name).is_valid()).combine_chunks()
        if not rows.num_rows:
            continue
        flat = pc.list_flatten(rows.column(column.name)).combine_chunks().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(rows.num_rows, -1).astype(np.float32)
        finite = np.isfinite(vectors).all(axis=1)
        problems += _named(rows, spec.key, ~finite, f"of column {column.name} are not finite")
        if unit:
            length = np.linalg.norm(np.where(finite[:, None], vectors, 0), axis=1)
            odd = finite & (np.abs(length - 1) > _UNIT_TOLERANCE)
            problems += _named(rows, spec.key, odd, f"of column {column.name} are not of unit length")
    return problems


def odd_numbers(store: Store, table: str, shard: str) -> list[Problem]:
    """Numbers that are not finite."""
    spec, problems = store.tables.spec(table), []
    for column in (column for column in spec.columns if pa.types.is_floating(column.type)):
        rows = store.tables.read(table, columns=[*spec.key, column.name], shard=shard)
        odd = pc.invert(pc.fill_null(pc.is_finite(rows.column(column.name)), True))
        mask = np.asarray(odd.to_numpy(), dtype=bool)
        problems += _named(rows, spec.key, mask, f"of column {column.name} are not finite")
    return problems


def odd_depth(store: Store, table: str, shard: str) -> list[Problem]:
    """Depth maps that do not decode to finite numbers between their row's least and largest depth; some are tried."""
    spec = store.tables.spec(table)
    rows = store.tables.read(table, shard=shard)
    rows = (
        rows.take(pa.array(np.unique(np.linspace(0, rows.num_rows - 1, _DECODED_MAPS).astype(int))))
        if len(rows)
        else rows
    )
    try:
        maps = [decode_depth16(blob) for blob in store.blobs(table, rows)]
    except IntegrityError as error:
        unreadable = np.array(
            [not _is_readable(store, table, rows.slice(number, 1)) for number in range(rows.num_rows)]
        )
        found = _named(rows, spec.key, unreadable, f"that were looked at cannot be read: {error.what}")
        return found or [Problem(str(error), 1)]
    low, high = (rows.column(name).to_pylist() for name in ("depth_min", "depth_max"))
    odd = [not _within(depth, *limits) for depth, *limits in zip(maps, low, high, strict=True)]
    return _named(rows, spec.key, np.array(odd, dtype=bool), "have depth outside of depth_min and depth_max")


def _without(keys: pa.Array, others: pa.Array) -> list[str]:
    found: list[str] = keys.filter(pc.invert(pc.is_in(keys, value_set=others))).to_pylist()
    return found


def _is_readable(store: Store, table: str, row: pa.Table) -> bool:
    try:
        return all(decode_depth16(blob).size for blob in store.blobs(table, row))
    except IntegrityError:
        return False


def _within(depth: Any, low: float, high: float) -> bool:
    slack = 1e-2 * max(abs(low), abs(high), 1e-6)
    return bool(np.isfinite(depth).all() and depth.min() >= low - slack and depth.max() <= high + slack)


def _named(rows: pa.Table, key: tuple[str, ...], odd: Any, what: str) -> list[Problem]:
    if not odd.any():
        return []
    count = int(odd.sum())
    first = rows.take(pa.array(np.flatnonzero(odd)[:EXAMPLES]))
    return [Problem(f"{count} of {rows.num_rows} rows {what}", count, tuple(key_strings(first, list(key)).to_pylist()))]
