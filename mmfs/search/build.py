"""Bringing a search space up to date with its tables, and publishing it in one step.

Rows are compared by hash, so that unchanged points are not written again. Small changes are made to a copy of the
published build, large ones build anew. What came out is read back and compared with the tables before anybody sees it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa

from mmfs.errors import IntegrityError, MissingObjectError, MmfsError, SearchError
from mmfs.features.feature import FeatureSpec
from mmfs.search.acceptance import LowRecallError, check_build
from mmfs.search.changes import Change, compare_shard
from mmfs.search.checks import checked_index
from mmfs.search.engines import engine_of
from mmfs.search.lock import space_lock
from mmfs.search.manifest import (
    Manifest,
    ShardEntry,
    read_manifest,
    remove_manifest,
    remove_unused_points,
    write_manifest,
)
from mmfs.search.pointer import read_published
from mmfs.search.port import BUILD_ANEW, DAMAGED, DamagedBuildError, Engine, IndexBuild, Published, SpaceSpec
from mmfs.search.record import IndexReport, record_shard, recorded_shards
from mmfs.search.spaces import (
    ShardSource,
    model_of,
    payload_columns,
    read_points,
    recorded_fingerprint,
    shard_source,
    table_name,
    vector_column,
)
from mmfs.store.faults import fault_point

if TYPE_CHECKING:
    from mmfs.store import Store

log = logging.getLogger("mmfs.search")

#: Beyond this share of changed points, building anew is cheaper than changing a copy.
REBUILD_ABOVE = 0.15
_PROBES = 100
_BATCH_ROWS = 4096
#: Files of points are written before their build is published; a builder on another machine has so long to do it.
_POINTS_SPARED_US = 24 * 3600 * 1_000_000


def build_index(
    store: Store,
    space: FeatureSpec | str,
    shards: Sequence[str],
    *,
    engine: Engine | None = None,
    lock_timeout_s: float = 3600.0,
    now_us: int | None = None,
) -> dict[str, IndexReport]:
    """Bring these shards of a search space up to date, publish once, and record it in the table ``qdrant_index``.

    Points of other shards are carried over. Whatever dies on the way, the published build goes on answering, and the
    next call converges to the same result.

    Args:
        store: The store.
        space: The embedding feature, or the name of its table.
        shards: Shards whose rows may have changed.
        engine: Default: the one of the store's settings.
        lock_timeout_s: How long to wait for another builder of the same table.
        now_us: Time of the build, microseconds since 1970; default: now.

    Returns:
        A report for each of ``shards``.

    Raises:
        SearchError: The table is no embedding table; the build process died, or the graph finds too little, and nothing
            was published.
        IntegrityError: The finished build differs from the tables; nothing was published.
    """
    table = table_name(space)
    vector_column(store.tables.spec(table))  # says so when it is no embedding table
    engine = engine or engine_of(store)
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    reports: dict[str, IndexReport] = {}
    with space_lock(store.objects, table, lock_timeout_s):
        by_model: dict[str, list[str]] = {}
        for shard in dict.fromkeys(shards):
            if not store.tables.state(table, shard).files:
                continue  # never computed: nothing to index, and no model to index it for
            by_model.setdefault(recorded_fingerprint(store, table, shard), []).append(shard)
        for fingerprint, members in by_model.items():
            reports |= _Builder(store, engine, _space(store, table, fingerprint, members[0]), now_us).run(members)
    return reports


def _space(store: Store, table: str, fingerprint: str, shard: str) -> SpaceSpec:
    spec = store.tables.spec(table)
    vector = vector_column(spec).vector
    assert spec.grain is not None  # vector_column has checked both
    assert vector is not None
    model = model_of(store, table, shard)
    return SpaceSpec(table, fingerprint, model, spec.grain, vector.dim, payload_columns(store, spec.grain))


@dataclass
class _Builder:
    """One space, one call."""

    store: Store
    engine: Engine
    space: SpaceSpec
    now_us: int
    #: The build that answers is damaged: the new one does not begin with it, and nobody is to go back to it.
    mends: bool = field(default=False, init=False)

    def run(self, shards: Sequence[str]) -> dict[str, IndexReport]:
        """Compare, build if anything changed, publish, clear up, record."""
        started = time.perf_counter()
        seen: list[Published] = []

        def look(now: Published) -> tuple[Published, Manifest | None, dict[str, Change]]:
            seen.append(now)
            return self._seen(now, shards)

        try:
            published, base, changes = read_published(self.engine, self.space.name, look)
        except DAMAGED as error:
            published, base = self._published(), None
            # The tables are its only source; where they are at fault, this says so.
            self._mend(error, is_build=isinstance(error, DamagedBuildError) and seen[-1:] in ([], [published]))
            changes = self._changes(shards, None)
        recall = None
        if base is None or any(change.touched for change in changes.values()):
            manifest, recall = self._build(base, published, changes)
        elif changes:
            # The same points from newer files: only the description is behind.
            entries = {shard: change.entry(base.shards[shard].build_id) for shard, change in changes.items()}
            manifest = Manifest(base.build_id, base.space, base.created_at_us, {**base.shards, **entries}, base.inexact)
            write_manifest(self.store.objects, manifest)
            self._check_unchanged(published, base.build_id)
        else:
            manifest = base
        self._collect_garbage()  # also where nothing was built: the builder before may have died between the two
        seconds = (time.perf_counter() - started) / max(1, len(shards))
        return {
            shard: record_shard(
                self.store, manifest, shard, changes.get(shard), now_us=self.now_us, seconds=seconds, recall=recall
            )
            for shard in shards
        }

    def _seen(
        self, published: Published, shards: Sequence[str]
    ) -> tuple[Published, Manifest | None, dict[str, Change]]:
        """The build that answers, where a new one can begin with it, and what differs from it.

        Raises:
            DamagedBuildError: The build is damaged.
            MissingObjectError, IntegrityError: The tables are.
        """
        with self._of_the_build():
            base = self._base(published)
        return published, base, self._changes(shards, base)

    @contextmanager
    def _of_the_build(self, *, is_carried: bool = True) -> Iterator[None]:
        """Take what is gone or damaged within the block for the build that answers, and not for its tables.

        Args:
            is_carried: The new build begins with it.
        """
        try:
            yield
        except (MissingObjectError, IntegrityError) as error:
            if not is_carried:
                raise
            raise DamagedBuildError(error.what, where=error.where or self.space.name) from error

    def _published(self) -> Published:
        """What answers. A damaged pointer names nothing, and is written over."""
        try:
            return self.engine.published(self.space.name)
        except DamagedBuildError:
            return Published()

    def _check_unchanged(self, published: Published, described: str | None = None) -> None:
        """See that nobody published since.

        Args:
            described: Build whose description was written, to be removed again if it was cleared away meanwhile.

        Raises:
            SearchError: Somebody did.
        """
        now = self._published()
        if now == published:
            return
        if described is not None and now.current is not None and described not in (now.current, now.previous):
            remove_manifest(self.store.objects, self.space.name, described)
        raise SearchError(f"another build of {self.space.name} was published meanwhile", mend="run this build again")

    def _changes(self, shards: Sequence[str], base: Manifest | None) -> dict[str, Change]:
        """What differs from a build, in the shards whose files are not those it was made of."""
        before = base.shards if base else {}
        sources = {shard: shard_source(self.store, self.space, shard) for shard in shards}
        return {
            shard: self._compare(source, before.get(shard))
            for shard, source in sources.items()
            if shard not in before or before[shard].sources != source.contents
        }

    def _compare(self, source: ShardSource, before: ShardEntry | None) -> Change:
        return compare_shard(self.store, self.space, source, before, engine=self.engine.name)

    def _base(self, published: Published) -> Manifest | None:
        """The published build, if the new one can begin with it.

        Raises:
            DamagedBuildError, MissingObjectError, IntegrityError: It is damaged.
        """
        if published.current is None:
            return None
        manifest = read_manifest(self.store.objects, self.space.name, published.current)
        if manifest.space.payload != self.space.payload:
            return None
        with closing(checked_index(self.engine, manifest)) as index:
            found = index.count()
        if found != manifest.rows:
            raise IntegrityError(
                f"the build holds {found:,} of {manifest.rows:,} points", where=self.space.name, mend=BUILD_ANEW
            )
        return manifest

    def _build(
        self, base: Manifest | None, published: Published, changes: dict[str, Change]
    ) -> tuple[Manifest, float | None]:
        rows = sum(change.rows for change in changes.values()) + sum(
            entry.rows for shard, entry in (base.shards if base else {}).items() if shard not in changes
        )
        share = sum(change.touched for change in changes.values()) / max(1, rows)
        if base is not None and share <= REBUILD_ABOVE:
            try:
                return self._attempt(base, published, changes)
            except LowRecallError:
                pass  # many small changes have worn the graph: build it anew
            except DAMAGED as error:
                self._check_unchanged(published)  # else the base was cleared away, and is not damaged
                self._mend(error, is_build=isinstance(error, DamagedBuildError))
        return self._attempt(None, published, self._everything(changes))

    def _mend(self, error: MmfsError, *, is_build: bool) -> None:
        """Say why so much is built.

        Args:
            is_build: The build that answers is damaged: nobody is to go back to it.
        """
        log.warning("the index %s is built anew from its tables: %s [%s]", self.space.name, error.what, error.where)
        self.mends = self.mends or is_build

    def _everything(self, changes: dict[str, Change]) -> dict[str, Change]:
        """The changes of a build that begins empty: the shards asked for, and all others that were ever indexed."""
        everything = {shard: change.from_nothing() for shard, change in changes.items()}
        for shard in recorded_shards(self.store, self.space.table):
            fits = self.store.tables.state(self.space.table, shard).files and (
                recorded_fingerprint(self.store, self.space.table, shard) == self.space.fingerprint
            )
            if shard not in changes and fits:
                everything[shard] = self._compare(shard_source(self.store, self.space, shard), None)
        return everything

    def _attempt(
        self, base: Manifest | None, published: Published, changes: dict[str, Change]
    ) -> tuple[Manifest, float | None]:
        """Build, check, publish. A build that begins with ``base`` holds everything that ``base`` holds."""
        build_id = _build_id(self.now_us, published)
        with self._of_the_build(is_carried=base is not None):
            build = self.engine.begin(self.space, build_id, base=base.build_id if base else None)
        is_asked = False
        try:
            probes, inexact = self._write(build, changes)
            fault_point("search.before_finish")
            stats = build.finish(probes, touched=list(changes) if base else None)
            entries = {shard: change.entry(build_id) for shard, change in changes.items()}
            manifest = Manifest(
                build_id,
                self.space,
                self.now_us,
                {**(base.shards if base else {}), **entries},
                tuple(sorted(inexact | set(base.inexact if base else ()))),
            )
            with self._of_the_build(is_carried=base is not None):
                check_build(manifest, stats)
            self._check_unchanged(published)
            write_manifest(self.store.objects, manifest)
            fault_point("search.before_publish")
            is_asked = True
            build.publish(mends=self.mends)
            fault_point("search.after_publish")
        finally:
            if not is_asked:  # first: who clears away builds finds them by their points
                with suppress(MmfsError):  # the reason to give up says more
                    remove_manifest(self.store.objects, self.space.name, build_id)
            build.abandon()
        return manifest, stats.recall

    def _write(self, build: IndexBuild, changes: dict[str, Change]) -> tuple[pa.RecordBatch | None, set[str]]:
        """Send what changed; some of the points written, to be compared afterwards, and payload keys to keep from."""
        each = max(1, _PROBES // max(1, sum(len(change.written) > 0 for change in changes.values())))
        draw = np.random.default_rng(int(self.space.fingerprint[:8], 16))
        samples: list[pa.RecordBatch] = []
        inexact: set[str] = set()
        for change in changes.values():
            build.delete([UUID(bytes=raw) for raw in change.deleted])
            inexact |= change.inexact
            batch = change.batch
            if batch is None:
                points = read_points(self.store, self.space, change.source)
                batch = points.batch.take(pa.array(change.written))
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                build.upsert(batch.slice(start, _BATCH_ROWS))
            samples.append(_sample(batch, each, draw))
        found = [batch for batch in samples if batch.num_rows][:_PROBES]
        table = pa.Table.from_batches(found).combine_chunks() if found else None
        return (table.to_batches()[0] if table else None), inexact

    def _collect_garbage(self) -> None:
        """Keep the published build and the one before it; drop what older builds and dead builders left.

        What has a later id than the published build may be in the making on another machine: it is left to the next.
        """
        name, objects = self.space.name, self.store.objects
        now = self._published()
        if now.current is None:
            return
        kept = [build for build in (now.current, now.previous) if build]
        for build in self.engine.builds(name):
            if build not in kept and build < now.current:
                remove_manifest(objects, name, build)
                self.engine.remove(name, build)
        manifests = []
        for build in kept:
            with suppress(*DAMAGED):  # what nobody can read names nothing
                manifests.append(read_manifest(objects, name, build))
        remove_unused_points(objects, name, self.engine.name, manifests, before_us=self.now_us - _POINTS_SPARED_US)


def _build_id(now_us: int, published: Published) -> str:
    """Ids grow from one published build to the next, whatever the clocks say: older ones are cleared away."""
    before, _, _ = (published.current or "").partition("-")
    at = max(now_us, int(before) + 1) if before.isdecimal() else now_us
    return f"{at:016d}-{os.urandom(2).hex()}"


def _sample(batch: pa.RecordBatch, rows: int, draw: np.random.Generator) -> pa.RecordBatch:
    chosen = np.sort(draw.choice(batch.num_rows, min(rows, batch.num_rows), replace=False))
    return batch.select(["id", "vector"]).take(pa.array(chosen))
