"""What is fresh, stale or missing in one shard: the anti-join of a feature's table with its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.features.feature import Feature
from mmfs.features.fingerprint import FingerprintParts, changed_parts, fingerprint_parts, row_fingerprint
from mmfs.features.inputs import Positions, Predicted, Upstream, find_rows, read_upstream
from mmfs.schemas import GRAIN_KEYS
from mmfs.store.standing import FAILED, ShardStatus

if TYPE_CHECKING:
    from mmfs.store import Store

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Work:
    """One shard of a feature, compared: what to compute, what to keep.

    Attributes:
        upstream: The rows the feature can be computed for.
        current: Keys and ``fingerprint`` of the rows that are there.
        fingerprints: Today's fingerprint of each of them.
        todo: Positions in ``upstream`` of the rows to compute, in key order.
        failed: Positions of the rows that failed under today's fingerprint.
        status: The counts.
    """

    upstream: Upstream
    current: pa.Table
    fingerprints: pa.Array
    todo: Positions
    failed: Positions
    status: ShardStatus


def compare(
    store: Store, feature: Feature, shard: str, *, values: bool = False, predicted: Predicted | None = None
) -> Work:
    """Compare a shard of a feature's table with its inputs. Loads no model.

    Args:
        values: Whether the input values will be read, for computing.
        predicted: Input tables that will hold other rows by then; see `read_upstream`.

    Raises:
        FeatureError: The feature's inputs do not exist.
    """
    spec, parts = feature.spec, fingerprint_parts(feature)
    with store.tables.one_moment():
        upstream = read_upstream(store, spec, shard, values=values, predicted=predicted)
        wanted = _row_fingerprints(parts.digest, upstream.fingerprints)
        current, recorded = current_rows(store, feature, shard), {}
        if spec.table in store.tables:
            recorded = store.tables.commit_info(spec.table, shard)
    found = find_rows(upstream.keys, current, current.column_names[:-1])
    present = found >= 0
    have = current.column("fingerprint").take(pa.array(found, mask=found < 0))
    fresh = _equal(have, wanted)
    failed = _failed(store, spec.table, shard, upstream, wanted) & ~fresh
    todo = ~fresh & ~failed
    causes = Counter({"new": int((todo & ~present).sum()), FAILED: int(failed.sum())})
    causes.update(_causes(recorded, parts, upstream, have, todo & present))
    status = ShardStatus(
        table=spec.table,
        shard=shard,
        rows=len(upstream),
        fresh=int(fresh.sum()),
        stale=int((present & ~fresh & ~failed).sum()),
        missing=int((~present & ~failed).sum()),
        failed=int(failed.sum()),
        gone=int(current.num_rows - present.sum()),
        causes={name: rows for name, rows in causes.items() if rows},
    )
    return Work(upstream, current, wanted, np.flatnonzero(todo), np.flatnonzero(failed), status)


def shard_status(store: Store, feature: Feature, shard: str) -> ShardStatus:
    """How a feature's table stands in one shard. Loads no model.

    Where the weights are neither here nor reachable they are identified by their name, so that planning still works;
    rows computed from the real weights then count as stale, with the cause ``weights``.
    """
    return compare(store, feature, shard).status


def current_rows(store: Store, feature: Feature, shard: str) -> pa.Table:
    """Key columns and ``fingerprint`` of the feature's rows in a shard; empty if there is no table yet."""
    keys = GRAIN_KEYS[feature.spec.grain]
    if feature.spec.table in store.tables:
        return store.tables.read(feature.spec.table, columns=[*(key.name for key in keys), "fingerprint"], shard=shard)
    return pa.schema([*((key.name, key.type) for key in keys), ("fingerprint", pa.string())]).empty_table()


def _causes(
    recorded: Mapping[str, str], parts: FingerprintParts, upstream: Upstream, have: pa.ChunkedArray, stale: Mask
) -> dict[str, int]:
    """Why the stale rows are stale.

    The shard's last commit says which parts of the feature made its rows. A row that those parts would give again
    from today's inputs is stale for the parts alone; any other one is so for its inputs, too.
    """
    changed = changed_parts(dict(recorded), parts)
    before = _recorded_digest(recorded)
    if not changed or before is None:
        return {"upstream": int(stale.sum())}
    same_inputs = _equal(have, _row_fingerprints(before, upstream.fingerprints))
    return {
        "+".join(changed): int((stale & same_inputs).sum()),
        "+".join([*changed, "upstream"]): int((stale & ~same_inputs).sum()),
    }


def _recorded_digest(recorded: Mapping[str, str]) -> str | None:
    """The digest of the parts that a commit recorded; None if it recorded others."""
    names = [part.name for part in fields(FingerprintParts)]
    values = [recorded.get(f"fingerprint.{name}") for name in names]
    return None if None in values else FingerprintParts(*(value or "" for value in values)).digest


def _row_fingerprints(static: str, upstream: Sequence[tuple[str, ...]]) -> pa.Array:
    # Rows share few upstream fingerprints, so each is hashed once.
    fingerprint = cache(lambda of: row_fingerprint(static, of))
    return pa.array([fingerprint(of) for of in upstream], pa.string())


def _equal(have: pa.ChunkedArray, wanted: pa.Array) -> Mask:
    """Where both are the same; nowhere where there is nothing."""
    return np.asarray(pc.fill_null(pc.equal(have, wanted), False).to_numpy(zero_copy_only=False), dtype=bool)


def _failed(store: Store, table: str, shard: str, upstream: Upstream, wanted: pa.Array) -> Mask:
    """Whether each upstream row lies in quarantine under today's fingerprint."""
    rows = store.tables.read("quarantine", columns=["uri", "stage", "mark"], shard=shard)
    columns = (rows.column(name).to_pylist() for name in rows.column_names)
    failed = {(uri, mark) for uri, stage, mark in zip(*columns, strict=True) if stage == table}
    if not failed:
        return np.zeros(len(upstream), dtype=bool)
    pairs = zip(upstream.key_strings.to_pylist(), wanted.to_pylist(), strict=True)
    return np.fromiter((pair in failed for pair in pairs), dtype=bool, count=len(upstream))
