"""What is fresh, stale or missing: the anti-join of a feature's table with its inputs on (key, fingerprint)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.features.feature import Feature
from mmfs.features.fingerprint import changed_parts, fingerprint_parts, row_fingerprint
from mmfs.features.inputs import Positions, Upstream, find_rows, read_upstream
from mmfs.schemas import GRAIN_KEYS

if TYPE_CHECKING:
    from mmfs.store import Store

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ShardStatus:
    """How a feature's table stands in one shard.

    Attributes:
        rows: Rows the feature can be computed for.
        fresh: Rows whose fingerprint is today's.
        stale: Rows computed by other code, weights, parameters or inputs.
        missing: Rows never computed.
        failed: Rows in quarantine under today's fingerprint; they are tried again when it changes.
        gone: Rows of the table that have no input row any more; the next run drops them.
        causes: Rows to compute by cause: ``new``, and the changed parts of the fingerprint (``code``, ``config``,
            ``weights``, ``outputs``, ``upstream``) of stale rows, joined by ``+`` where there are several.
    """

    table: str
    shard: str
    rows: int
    fresh: int
    stale: int
    missing: int
    failed: int
    gone: int
    causes: dict[str, int]

    @property
    def to_compute(self) -> int:
        """Rows that a run would compute."""
        return sum(self.causes.values())


@dataclass(frozen=True)
class Plan:
    """How a feature's table stands in the whole store; attributes as in `ShardStatus`, summed over shards."""

    table: str
    shards: tuple[ShardStatus, ...]

    @property
    def rows(self) -> int:
        """Rows the feature can be computed for."""
        return sum(shard.rows for shard in self.shards)

    @property
    def fresh(self) -> int:
        """Rows whose fingerprint is today's."""
        return sum(shard.fresh for shard in self.shards)

    @property
    def stale(self) -> int:
        """Rows computed by other code, weights, parameters or inputs."""
        return sum(shard.stale for shard in self.shards)

    @property
    def missing(self) -> int:
        """Rows never computed."""
        return sum(shard.missing for shard in self.shards)

    @property
    def failed(self) -> int:
        """Rows in quarantine under today's fingerprint."""
        return sum(shard.failed for shard in self.shards)

    @property
    def to_compute(self) -> int:
        """Rows that runs over all shards would compute."""
        return sum(shard.to_compute for shard in self.shards)

    @property
    def causes(self) -> dict[str, int]:
        """Rows to compute by cause."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.causes)
        return dict(total)


@dataclass(frozen=True)
class Work:
    """One shard of a feature, compared: what to compute, what to keep.

    Attributes:
        upstream: The rows the feature can be computed for.
        fingerprints: Today's fingerprint of each of them.
        todo: Positions in ``upstream`` of the rows to compute, in key order.
        status: The counts.
    """

    upstream: Upstream
    fingerprints: pa.Array
    todo: Positions
    status: ShardStatus


def compare(store: Store, feature: Feature, shard: str, *, values: bool = False) -> Work:
    """Compare a shard of a feature's table with its inputs. Loads no model.

    Args:
        values: Whether the input values will be read, for computing.

    Raises:
        FeatureError: The feature's inputs do not exist.
    """
    spec, parts = feature.spec, fingerprint_parts(feature)
    upstream = read_upstream(store, spec, shard, values=values)
    # Rows share few upstream fingerprints, so each is hashed once.
    fingerprint = cache(lambda of: row_fingerprint(parts.digest, of))
    wanted = pa.array([fingerprint(of) for of in upstream.fingerprints], pa.string())
    current, recorded = current_rows(store, feature, shard), {}
    if spec.table in store.tables.names():
        recorded = store.tables.commit_info(spec.table, shard)
    found = find_rows(upstream.keys, current, current.column_names[:-1])
    present = found >= 0
    fresh = _fresh(current, found, wanted)
    failed = _failed(store, spec.table, shard, upstream, wanted) & ~fresh
    todo = ~fresh & ~failed
    cause = "+".join(changed_parts(recorded, parts)) or "upstream"
    counts = {"new": int((todo & ~present).sum()), cause: int((todo & present).sum())}
    status = ShardStatus(
        table=spec.table,
        shard=shard,
        rows=len(upstream),
        fresh=int(fresh.sum()),
        stale=int((present & ~fresh & ~failed).sum()),
        missing=int((~present & ~failed).sum()),
        failed=int(failed.sum()),
        gone=int(current.num_rows - present.sum()),
        causes={name: rows for name, rows in counts.items() if rows},
    )
    return Work(upstream, wanted, np.flatnonzero(todo), status)


def shard_status(store: Store, feature: Feature, shard: str) -> ShardStatus:
    """How a feature's table stands in one shard. Loads no model.

    Where the weights are neither here nor reachable they are identified by their name, so that planning still works;
    rows computed from the real weights then count as stale, with the cause ``weights``.
    """
    return compare(store, feature, shard).status


def plan(store: Store, feature: Feature) -> Plan:
    """How a feature's table stands in every shard that has inputs or rows. Loads no model.

    While another feature that it reads was never computed, it has no inputs and the plan no shards.
    """
    known, inputs = set(store.tables.names()), {name.partition(".")[0] for name in feature.spec.inputs}
    if not inputs <= known:
        return Plan(feature.spec.table, ())
    tables = (inputs | {feature.spec.table}) & known
    shards = sorted({shard for table in tables for shard in store.tables.shards(table)})
    return Plan(feature.spec.table, tuple(shard_status(store, feature, shard) for shard in shards))


def current_rows(store: Store, feature: Feature, shard: str) -> pa.Table:
    """Key columns and ``fingerprint`` of the feature's rows in a shard; empty if there is no table yet."""
    keys = GRAIN_KEYS[feature.spec.grain]
    if feature.spec.table in store.tables.names():
        return store.tables.read(feature.spec.table, columns=[*(key.name for key in keys), "fingerprint"], shard=shard)
    return pa.schema([*((key.name, key.type) for key in keys), ("fingerprint", pa.string())]).empty_table()


def _fresh(current: pa.Table, found: Positions, wanted: pa.Array) -> Mask:
    """Whether each upstream row has a current row with today's fingerprint."""
    have = current.column("fingerprint").take(pa.array(found, mask=found < 0))
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
