"""Tables whose rows are decoded from media into packs: what ``frames`` and ``audio_windows`` have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.fingerprints import decoded_parts
from mmfs.ingest.ordering import in_order, long_before_short
from mmfs.ingest.originals import Originals
from mmfs.ingest.quarantine import count_quarantined, quarantine_row, quarantined_marks, update_quarantine
from mmfs.ingest.report import StepReport
from mmfs.media import Failure, Guard, Reason, RefusedError, Sampled, Windowed
from mmfs.schemas import BASE_TABLES, BLOB_COLUMNS, FINGERPRINT
from mmfs.store import BlobRef, Commit, PackWriter, Store
from mmfs.store.costs import Cost, processor_name, recorded_cost

#: Results that come early wait for their turn, so that packs are in key order; beyond this they wait no longer.
_WAITING_BYTES = 32 << 20
_MEDIA = ["media_id", "kind", "uri", "sha256", "duration_s", "audio_codec"]
_PLACES = tuple(column.name for column in BLOB_COLUMNS)

Progress = Callable[[int, int], None]
Row = dict[str, Any]
T = TypeVar("T", Sampled, Windowed)


class Decoding(ABC, Generic[T]):
    """What sets one such table apart.

    Attributes:
        table: The table, and the stage of its quarantine rows.
        nothing: Reason and message where decoding gave no row at all.
        fingerprint: What every row carries that is made today.
    """

    table: ClassVar[str]
    nothing: ClassVar[tuple[Reason, str]]
    fingerprint: str

    @abstractmethod
    def concerned(self, media: pa.Table) -> pa.Table:
        """The rows of ``raw_media`` that must have rows in the table."""

    @abstractmethod
    def decode(self, guard: Guard, files: Iterable[tuple[Row, Path]]) -> Iterator[T | Failure]:
        """Decode the files of media; outcomes in any order, identified by media id."""

    @abstractmethod
    def rows(self, outcome: T) -> Iterator[tuple[str, bytes, Row]]:
        """For each row of one media: the name of its bytes in the pack, the bytes, and the columns measured."""


def build_decoded(
    store: Store,
    shard: str,
    decoding: Decoding[T],
    *,
    progress: Progress | None,
    now_us: int | None,
) -> StepReport:
    """Bring a table of a shard in line with its media.

    Media whose rows carry today's fingerprint are not opened. Others are decoded by the guard; their bytes go to new
    packs as they arrive, and one commit carries the fresh rows over, drops the stale ones and adds the new. A file
    that cannot be decoded becomes a quarantine row; it is tried again when its bytes or the fingerprint change.

    Args:
        progress: Called with media done and media to do.
        now_us: Time of the run, microseconds since 1970; default: now.

    Raises:
        StoreError: The store, or a bucket with media, cannot be reached.
    """
    started = time.perf_counter()
    made = _Made(decoding.table, decoding.fingerprint, now_us if now_us is not None else time.time_ns() // 1000)
    media = decoding.concerned(store.tables.read("raw_media", columns=_MEDIA, shard=shard))
    missing = missing_media(store, shard, media, table=made.table, fingerprint=made.fingerprint)
    if missing.num_rows:
        _decode(store, shard, missing.to_pylist(), decoding, made, progress)
    # Rows first: after a kill between the two commits only what failed is tried again.
    cost = Cost(len(made.refs), time.perf_counter() - started, device=processor_name(), pack_bytes=made.pack_bytes)
    rows = _commit_rows(store, shard, media, made, cost)
    quarantine = _commit_quarantine(store, shard, media, made)
    written = [commit for commit in (rows, quarantine) if commit and commit.changed]
    return StepReport(
        table=made.table,
        shard=shard,
        rows=rows.rows,
        computed=len(made.refs),
        carried=rows.rows - len(made.refs),
        quarantined=count_quarantined(store, shard, made.table),
        seconds=time.perf_counter() - started,
        bytes_written=made.pack_bytes + sum(commit.size_bytes for commit in written),
        digest=rows.digest,
        version=rows.version,
        changed=bool(written),
    )


@dataclass
class _Made:
    """What decoding gave: new rows, where their bytes lie, and rows for quarantine by media id."""

    table: str
    fingerprint: str
    at_us: int
    measured: list[Row] = field(default_factory=list)
    refs: list[BlobRef] = field(default_factory=list)
    failed: dict[str, Row] = field(default_factory=dict)
    pack_bytes: int = 0

    def add(self, packs: PackWriter, media_id: str, name: str, data: bytes, columns: Row) -> None:
        """Keep one row."""
        packs.add(name, data)
        self.pack_bytes += len(data)
        self.measured.append({"media_id": media_id, **columns})

    def fail(self, failure: Failure, uri: str) -> None:
        """Give one media up."""
        self.failed[failure.id] = quarantine_row(
            failure, uri=uri, stage=self.table, mark=self.fingerprint, at_us=self.at_us, media_id=failure.id
        )

    def rows(self) -> pa.Table:
        """The new rows of the table."""
        places = ({name: getattr(ref, name) for name in _PLACES} for ref in self.refs)
        fingerprint = {FINGERPRINT.name: self.fingerprint}
        rows = [{**row, **place, **fingerprint} for row, place in zip(self.measured, places, strict=True)]
        schema = pa.schema([column.field() for column in BASE_TABLES[self.table].columns])
        return pa.Table.from_pylist(rows, schema=schema)


def missing_media(store: Store, shard: str, media: pa.Table, *, table: str, fingerprint: str) -> pa.Table:
    """Media without fresh rows that did not fail with this fingerprint before, sorted by id."""
    rows = store.tables.read(table, columns=["media_id", "fingerprint"], shard=shard)
    fresh = rows.filter(pc.equal(rows.column("fingerprint"), fingerprint)).column("media_id")
    marks = quarantined_marks(store, shard, table, by="media_id")
    failed = pa.array([media_id for media_id, mark in marks.items() if mark == fingerprint], pa.string())
    done = pc.is_in(media.column("media_id"), pa.concat_arrays([fresh.combine_chunks(), failed]))
    return media.filter(pc.invert(done))


def _decode(
    store: Store, shard: str, media: list[Row], decoding: Decoding[T], made: _Made, progress: Progress | None
) -> None:
    uris = {row["media_id"]: row["uri"] for row in media}
    with (
        Originals(store) as originals,
        Guard(store.settings.guard, workers=store.settings.workers) as guard,
        PackWriter(store.objects, made.table, shard) as packs,
    ):

        def files() -> Iterator[tuple[Row, Path]]:
            for row in long_before_short(media):
                try:
                    path = originals.path(row["uri"], sha256=row["sha256"])
                except RefusedError as error:
                    made.fail(Failure(row["media_id"], error.reason, error.what, 1, {}), row["uri"])
                else:
                    yield row, path

        outcomes = decoding.decode(guard, files())
        ordered = in_order(outcomes, list(uris), absent=made.failed, buffer_bytes=_WAITING_BYTES)
        for done, outcome in enumerate(ordered, 1):
            uri = uris[outcome.id]
            originals.release(uri)
            if isinstance(outcome, Failure):
                made.fail(outcome, uri)
            elif not outcome.blob_bytes:
                made.fail(Failure(outcome.id, *decoding.nothing, 1, {}), uri)
            else:
                for name, data, columns in decoding.rows(outcome):
                    made.add(packs, outcome.id, name, data, columns)
            if progress:
                progress(done, len(media))
        made.refs = packs.finish()


def _commit_rows(store: Store, shard: str, media: pa.Table, made: _Made, cost: Cost) -> Commit:
    rows = made.rows()
    media_ids, new_ids = (table.column("media_id").combine_chunks() for table in (media, rows))

    def build(current: pa.Table) -> pa.Table:
        ids = current.column("media_id")
        fresh = pc.and_(pc.equal(current.column("fingerprint"), made.fingerprint), pc.is_in(ids, media_ids))
        return pa.concat_tables([current.filter(pc.and_(fresh, pc.invert(pc.is_in(ids, new_ids)))), rows])

    recorded = recorded_cost(cost, before=store.tables.commit_info(made.table, shard))
    info = {**decoded_parts(made.table, store.settings), **recorded}
    return store.tables.update(made.table, shard, build, info=info)


def _commit_quarantine(store: Store, shard: str, media: pa.Table, made: _Made) -> Commit | None:
    """Add the failures; take out what has rows by now, or is no media of this shard any more."""
    there = store.tables.read(made.table, columns=["media_id"], shard=shard).column("media_id")
    absent = set(media.column("media_id").to_pylist()) - set(there.to_pylist())
    return update_quarantine(
        store, shard, made.table, failed=made.failed.values(), stands=lambda row: row["media_id"] in absent
    )
