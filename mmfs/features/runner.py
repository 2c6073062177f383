"""Bring one shard of one feature up to date: compute what is missing or stale, keep the rest, commit once.

``compare -> reader threads (read, decode, prepare) -> batches by shape -> compute -> encoder threads -> one commit``
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.errors import StalePlanError
from mmfs.features.attempt import BadRow, compute_batch
from mmfs.features.batching import PreparedRow, batches
from mmfs.features.device import resolve_device
from mmfs.features.feature import Feature
from mmfs.features.fingerprint import fingerprint_parts, recorded_parts
from mmfs.features.inputs import find_rows
from mmfs.features.quarantine import library_versions, record_bad_rows
from mmfs.features.reading import prepared_rows
from mmfs.features.report import FeatureReport
from mmfs.features.results import ShardResults
from mmfs.features.status import Work, compare, current_rows
from mmfs.features.tablespec import table_of
from mmfs.store.packs import PackWriter

if TYPE_CHECKING:
    from mmfs.store import Store
    from mmfs.store.tables import Commit

Progress = Callable[[int, int], None]
_MAX_THREADS = 16
_COMMIT_TRIES = 10


@dataclass
class _Gauges:
    """What is measured on the way."""

    load_s: float = 0.0
    read_s: float = 0.0
    model_s: float = 0.0
    write_s: float = 0.0
    batches: int = 0
    device: str | None = None
    bad: list[BadRow] = field(default_factory=list)


def run_feature(
    store: Store, feature: Feature, shard: str, *, device: str | None = None, progress: Progress | None = None
) -> FeatureReport:
    """Compute the missing and stale rows of a shard, keep the fresh ones, drop those whose input is gone.

    The model is loaded only if there is something to compute, and stays loaded in ``feature`` for the next shard.
    A row that cannot be computed goes to quarantine and is tried again when its fingerprint changes.

    Args:
        device: As in the setting ``device``; default: that setting.
        progress: Called after every batch with the rows done and the rows to do.

    Raises:
        ModelError: The weights cannot be reached or read.
        FeatureError: The feature is declared wrongly, or its outputs are not what it declared.
        IntegrityError: Stored input bytes are damaged.
    """
    began, gauges = time.perf_counter(), _Gauges()
    work = compare(store, feature, shard)
    if len(work.todo):
        gauges.device = resolve_device(device or store.settings.device)
        gauges.load_s = _timed(lambda: feature.load(gauges.device or "cpu"))
        # Loading may have fetched weights that were known by name only: compare again, by their digest.
        work = compare(store, feature, shard, values=True)
    spec = table_of(feature)
    store.tables.ensure(spec)
    with PackWriter(store.objects, spec.name, shard) as packs, ThreadPoolExecutor(_threads()) as pool:
        results = ShardResults(feature, work.upstream, packs, pool)
        reading = prepared_rows(store, feature, work.upstream, work.todo, pool, ahead=2 * _threads())

        def done() -> None:
            if progress:
                progress(len(results.positions) + len(gauges.bad), len(work.todo))

        _compute(reading, feature, results, gauges, done)
        writing = time.perf_counter()
        rows, blob_bytes = results.table(spec, work.fingerprints)
    record_bad_rows(store, work, gauges.bad, now_us=time.time_ns() // 1000)
    commit, carried = _commit(store, feature, work, rows)
    gauges.write_s += time.perf_counter() - writing
    return FeatureReport(
        table=spec.name,
        shard=shard,
        rows=commit.rows,
        computed=rows.num_rows,
        carried=carried,
        quarantined=len(gauges.bad),
        seconds=time.perf_counter() - began,
        load_s=gauges.load_s,
        read_s=gauges.read_s,
        model_s=gauges.model_s,
        write_s=gauges.write_s,
        device=gauges.device,
        batches=gauges.batches,
        bytes_written=blob_bytes + (commit.size_bytes if commit.changed else 0),
        digest=commit.digest,
        version=commit.version,
        changed=commit.changed,
    )


def _compute(
    rows: Iterator[PreparedRow | BadRow],
    feature: Feature,
    results: ShardResults,
    gauges: _Gauges,
    done: Callable[[], None],
) -> None:
    """Batch, compute and collect; rows that cannot be prepared or computed go to ``gauges.bad``."""

    def prepared() -> Iterator[PreparedRow]:
        for row in rows:
            if isinstance(row, BadRow):
                gauges.bad.append(row)
            else:
                yield row

    waiting = time.perf_counter()
    for batch in batches(prepared(), feature.batch_size):
        computing = time.perf_counter()
        good, bad = compute_batch(feature, batch)
        writing = time.perf_counter()
        for part in good:
            results.add(part)
        gauges.bad += bad
        gauges.batches += 1
        done()
        gauges.read_s += computing - waiting
        gauges.model_s += writing - computing
        waiting = time.perf_counter()
        gauges.write_s += waiting - writing


def _commit(store: Store, feature: Feature, work: Work, computed: pa.Table) -> tuple[Commit, int]:
    """Replace the shard by the computed rows and those that are fresh; the commit, and how many were kept."""
    table, shard = work.status.table, work.status.shard
    info = {**recorded_parts(fingerprint_parts(feature)), **library_versions()}
    for attempt in range(_COMMIT_TRIES):
        planned = store.tables.state(table, shard)
        kept = _fresh_rows(store, feature, work, computed)
        rows = pa.concat_tables([computed, kept.select(computed.column_names)]) if kept.num_rows else computed
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


def _threads() -> int:
    return min(_MAX_THREADS, os.cpu_count() or 1)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
