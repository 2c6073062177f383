"""Bring one shard of one feature up to date: compute what is missing or stale, keep the rest, commit once.

``compare -> adopt parts -> decode -> prepare -> batch -> compute -> encode -> parts -> one commit``
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import CodeChangedError, FeatureError
from mmfs.features.attempt import BadRow
from mmfs.features.code.reach import changed_files
from mmfs.features.committing import commit_rows
from mmfs.features.decoding.pool import DecodePool, decode_pool
from mmfs.features.device import resolve_device
from mmfs.features.device_name import device_name
from mmfs.features.device_stage import DeviceStage
from mmfs.features.feature import Feature
from mmfs.features.parts import ShardParts
from mmfs.features.pipeline import Gauges, Pipeline, ratio_to_bare
from mmfs.features.quarantine import record_bad_rows
from mmfs.features.reading import read_chunks
from mmfs.features.report import FeatureReport
from mmfs.features.results import PartLimits, ShardResults
from mmfs.features.status import Work, compare
from mmfs.features.tablespec import table_of
from mmfs.features.versions import library_versions
from mmfs.schemas import TableSpec
from mmfs.store.costs import Cost

if TYPE_CHECKING:
    from mmfs.store import Store

Progress = Callable[[int, int], None]
_MAX_ENCODERS = 16
_MAX_DECODERS = 16


@dataclass
class _Made:
    """What a run made, before it is committed."""

    rows: pa.Table
    bad: list[BadRow] = field(default_factory=list)
    computed: int = 0
    adopted: int = 0
    blob_bytes: int = 0
    prepare_s: float = 0.0
    model_s: float = 0.0
    batch_size: int = 0
    ratio_to_bare: float | None = None
    gauges: Gauges = field(default_factory=Gauges)


def run_feature(
    store: Store,
    feature: Feature,
    shard: str,
    *,
    device: str | None = None,
    progress: Progress | None = None,
    part_limits: PartLimits | None = None,
) -> FeatureReport:
    """Compute the missing and stale rows of a shard, keep the fresh ones, drop those whose input is gone.

    The model is loaded only if there is something to compute, and stays loaded in ``feature`` for the next shard. A row
    that cannot be computed goes to quarantine and is tried again when its fingerprint changes. What a run that was
    killed left in parts is taken over.

    Args:
        device: As in the setting ``device``; default: that setting, or the CPU for features that need no GPU.
        progress: Called after every batch with the rows done and the rows to do.
        part_limits: When what was computed so far is made durable.

    Raises:
        ModelError: The weights cannot be reached or read.
        FeatureError: The feature is declared wrongly, its inputs come from another model than it was made for, or its
            outputs are not what it declared.
        IntegrityError: Stored input bytes are damaged.
    """
    began, load_s, name = time.perf_counter(), 0.0, None
    work = compare(store, feature, shard)
    with _decoders(store, work) as pool:
        if len(work.todo):
            _require_code_as_imported(feature)
            name = resolve_device(device or (store.settings.device if feature.needs_gpu else "cpu"))
            loading = time.perf_counter()
            feature.load(name)
            load_s = time.perf_counter() - loading
            recorded = {table: store.tables.commit_info(table, shard) for table in feature.spec.tables}
            feature.check_inputs(recorded)
            # Loading may have fetched weights that were known by name only: compare again, by their digest.
            work = compare(store, feature, shard, values=True)
        spec = table_of(feature)
        store.tables.ensure(spec)
        parts = ShardParts(store.objects, spec.name, shard)
        made = _make(store, feature, spec, work, parts, pool, progress, part_limits or PartLimits(), began + load_s)
    committing = time.perf_counter()
    parts.require_packs(made.rows)
    record_bad_rows(store, work, made.bad, now_us=time.time_ns() // 1000)
    cost = Cost(
        rows=made.computed,
        wall_s=time.perf_counter() - began - load_s,
        load_s=load_s,
        device_s=made.prepare_s + made.model_s,
        read_s=made.gauges.read_s,
        write_s=made.gauges.write_s,
        device=device_name(name or "cpu"),
        pack_bytes=made.blob_bytes,
        batch_size=made.batch_size,
        libraries=library_versions(),
    )
    commit, carried = commit_rows(store, feature, work, made.rows, cost)
    parts.clear()
    ended = time.perf_counter()
    return FeatureReport(
        table=spec.name,
        shard=shard,
        rows=commit.rows,
        computed=made.computed,
        adopted=made.adopted,
        carried=carried,
        quarantined=len(made.bad),
        seconds=ended - began,
        load_s=load_s,
        read_s=made.gauges.read_s,
        prepare_s=made.prepare_s,
        model_s=made.model_s,
        write_s=made.gauges.write_s + ended - committing,
        queue_depth=made.gauges.queue_depth,
        device=name,
        batches=made.gauges.batches,
        batch_size=made.batch_size,
        ratio_to_bare=made.ratio_to_bare,
        bytes_written=made.blob_bytes + (commit.size_bytes if commit.changed else 0),
        digest=commit.digest,
        version=commit.version,
        changed=commit.changed,
    )


def _require_code_as_imported(feature: Feature) -> None:
    """Refuse to compute by code that is not what the fingerprint says: it was edited under this process.

    Raises:
        CodeChangedError: A file that the feature reaches changed since this process first looked.
    """
    if changed := changed_files(type(feature)):
        raise CodeChangedError(
            f"{changed[0]} changed since this process imported it",
            where=f"feature {feature.spec.table}",
            mend="start the process again, so that rows are computed by the code that their fingerprint names",
        )


@contextmanager
def _decoders(store: Store, work: Work) -> Iterator[DecodePool | None]:
    """The processes that decode, started while the model loads; None where nothing is to be decoded."""
    if not len(work.todo) or not work.upstream.blobs:
        yield None
        return
    with decode_pool(store.settings.workers or min(os.cpu_count() or 1, _MAX_DECODERS)) as pool:
        pool.start()
        yield pool


def _make(
    store: Store,
    feature: Feature,
    spec: TableSpec,
    work: Work,
    parts: ShardParts,
    pool: DecodePool | None,
    progress: Progress | None,
    limits: PartLimits,
    began: float,
) -> _Made:
    """Compute what is to do, and put it together with what parts of an earlier run hold."""
    adopted = parts.adopt(work.upstream, work.fingerprints, work.todo)
    adopted_rows = sum(part.num_rows for part in adopted.rows)
    with (
        ThreadPoolExecutor(min(_MAX_ENCODERS, os.cpu_count() or 1)) as encoders,
        ShardResults(feature, spec, work, store.objects, parts, limits, encoders) as results,
    ):
        made = _Made(pa.table({}), list(adopted.bad), adopted=adopted_rows)
        if len(adopted.todo):
            stage = DeviceStage(feature)
            done_before = adopted_rows + len(adopted.bad)

            def done() -> None:
                if progress:
                    progress(done_before + results.rows + len(results.bad), len(work.todo))

            chunks = read_chunks(store, work.upstream, adopted.todo, pool, plain_rows=feature.batch_size)
            with stage:
                with _naming_rows(work, stage):
                    Pipeline(spec.name, stage, results, made.gauges, done).run(chunks)
                made.prepare_s, made.model_s = stage.prepared.seconds, stage.computed.seconds
                made.batch_size = stage.batch_size
                made.ratio_to_bare = ratio_to_bare(
                    stage, made.gauges, rows=results.rows, working_s=time.perf_counter() - began
                )
        writing = time.perf_counter()
        computed = results.table()
        made.gauges.write_s += time.perf_counter() - writing
        made.rows = pa.concat_tables([computed, *(part.select(computed.column_names) for part in adopted.rows)])
        made.bad += results.bad
        made.computed, made.blob_bytes = results.rows, results.blob_bytes
        return made


@contextmanager
def _naming_rows(work: Work, stage: DeviceStage) -> Iterator[None]:
    """Say in an error which rows the batch held that it came from."""
    try:
        yield
    except FeatureError as error:
        rows = stage.at
        if rows is None:
            raise
        keys = [work.upstream.key_strings[position].as_py() for position in (rows.positions[0], rows.positions[-1])]
        named = f"row {keys[0]}" if len(rows) == 1 else f"{len(rows)} rows, {keys[0]} to {keys[1]}"
        place = f"{error.where}, {named}" if error.where else named
        raise FeatureError(error.what, where=place, mend=error.mend) from error
