"""The frames of a shard: sampled, resized and encoded once, kept in packs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.fingerprints import frames_fingerprint
from mmfs.ingest.ordering import in_order
from mmfs.ingest.originals import Originals
from mmfs.ingest.quarantine import count_quarantined, quarantine_row, quarantined_marks, update_quarantine
from mmfs.ingest.report import StepReport
from mmfs.media import DecodedFrame, Failure, FrameJob, Guard, Reason, RefusedError
from mmfs.schemas import BASE_TABLES
from mmfs.store import BlobRef, Commit, PackWriter, Store

STAGE = "frames"

_SCHEMA = pa.schema([column.field() for column in BASE_TABLES["frames"].columns])
_MEASURED = ("media_id", "frame_index", "pts_us", "time_s", "frame_width", "frame_height", "is_keyframe")
#: Results that come early wait for their turn, so that packs are in key order; beyond this they wait no longer.
_WAITING_BYTES = 32 << 20

Progress = Callable[[int, int], None]


def build_frames(
    store: Store, shard: str, *, progress: Progress | None = None, now_us: int | None = None
) -> StepReport:
    """Bring ``frames`` of a shard in line with its images and videos and with the settings.

    Media whose rows carry today's fingerprint are not opened. Others are decoded by the guard; their JPEGs go to new
    packs as they arrive, and one commit carries the fresh rows over, drops the stale ones and adds the new. A file
    that cannot be sampled becomes a quarantine row; it is tried again when its bytes or the fingerprint change.

    Args:
        progress: Called with media done and media to do.
        now_us: Time of the run, microseconds since 1970; default: now.

    Raises:
        StoreError: The store, or a bucket with media, cannot be reached.
    """
    started = time.perf_counter()
    made = _Made(frames_fingerprint(store.settings.frames), now_us if now_us is not None else time.time_ns() // 1000)
    media = _pictured_media(store, shard)
    missing = _missing(store, shard, media, made.fingerprint)
    if missing.num_rows:
        _decode(store, shard, missing.to_pylist(), made, progress)
    # Frames first: after a kill between the two commits only what failed is tried again.
    frames = _commit_frames(store, shard, media, made)
    quarantine = _commit_quarantine(store, shard, media, made)
    written = [commit for commit in (frames, quarantine) if commit and commit.changed]
    return StepReport(
        table="frames",
        shard=shard,
        rows=frames.rows,
        computed=len(made.refs),
        carried=frames.rows - len(made.refs),
        quarantined=count_quarantined(store, shard, STAGE),
        seconds=time.perf_counter() - started,
        bytes_written=made.pack_bytes + sum(commit.size_bytes for commit in written),
        digest=frames.digest,
        version=frames.version,
        changed=bool(written),
    )


@dataclass
class _Made:
    """What decoding gave: columns of new rows, where their JPEGs lie, and rows for quarantine by media id."""

    fingerprint: str
    at_us: int
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _MEASURED})
    refs: list[BlobRef] = field(default_factory=list)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    pack_bytes: int = 0

    def add(self, packs: PackWriter, media_id: str, frame: DecodedFrame) -> None:
        """Keep one frame."""
        packs.add(f"{media_id}_{frame.frame_index:06d}.jpg", frame.jpeg)
        self.pack_bytes += len(frame.jpeg)
        values = (frame.frame_index, frame.pts_us, frame.time_s, frame.width, frame.height, frame.is_keyframe)
        for name, value in zip(_MEASURED, (media_id, *values), strict=True):
            self.columns[name].append(value)

    def fail(self, failure: Failure, uri: str) -> None:
        """Give one media up."""
        self.failed[failure.id] = quarantine_row(
            failure, uri=uri, stage=STAGE, mark=self.fingerprint, at_us=self.at_us, media_id=failure.id
        )

    def rows(self) -> pa.Table:
        """The new rows of ``frames``."""
        places = {name: [getattr(ref, name) for ref in self.refs] for name in ("pack", "offset", "length", "crc32")}
        columns = {**self.columns, **places, "fingerprint": [self.fingerprint] * len(self.refs)}
        return pa.table([pa.array(columns[column.name], column.type) for column in _SCHEMA], _SCHEMA)


def _pictured_media(store: Store, shard: str) -> pa.Table:
    columns = ["media_id", "kind", "uri", "sha256", "duration_s"]
    media = store.tables.read("raw_media", columns=columns, shard=shard)
    return media.filter(pc.is_in(media.column("kind"), pa.array(["image", "video"])))


def _missing(store: Store, shard: str, media: pa.Table, fingerprint: str) -> pa.Table:
    """Media without fresh rows that did not fail with this fingerprint before, sorted by id."""
    rows = store.tables.read("frames", columns=["media_id", "fingerprint"], shard=shard)
    fresh = rows.filter(pc.equal(rows.column("fingerprint"), fingerprint)).column("media_id")
    marks = quarantined_marks(store, shard, STAGE, by="media_id")
    failed = pa.array([media_id for media_id, mark in marks.items() if mark == fingerprint], pa.string())
    done = pc.is_in(media.column("media_id"), pa.concat_arrays([fresh.combine_chunks(), failed]))
    return media.filter(pc.invert(done))


def _decode(store: Store, shard: str, media: list[dict[str, Any]], made: _Made, progress: Progress | None) -> None:
    uris = {row["media_id"]: row["uri"] for row in media}
    with (
        Originals(store) as originals,
        Guard(store.settings.guard, workers=store.settings.workers) as guard,
        PackWriter(store.objects, "frames", shard) as packs,
    ):

        def jobs() -> Iterator[FrameJob]:
            for row in media:
                try:
                    path = originals.path(row["uri"], sha256=row["sha256"])
                except RefusedError as error:
                    made.fail(Failure(row["media_id"], error.reason, error.what, 1, {}), row["uri"])
                else:
                    yield FrameJob(row["media_id"], path, row["sha256"], row["duration_s"], store.settings.frames)

        sampled = guard.frames(jobs())
        ordered = in_order(sampled, list(uris), absent=made.failed, buffer_bytes=_WAITING_BYTES)
        for done, outcome in enumerate(ordered, 1):
            uri = uris[outcome.id]
            originals.release(uri)
            if isinstance(outcome, Failure):
                made.fail(outcome, uri)
            elif not outcome.frames:
                made.fail(Failure(outcome.id, Reason.NO_PICTURES, "not one frame came out", 1, {}), uri)
            else:
                for frame in outcome.frames:
                    made.add(packs, outcome.id, frame)
            if progress:
                progress(done, len(media))
        made.refs = packs.finish()


def _commit_frames(store: Store, shard: str, media: pa.Table, made: _Made) -> Commit:
    rows = made.rows()
    media_ids, new_ids = (table.column("media_id").combine_chunks() for table in (media, rows))

    def build(current: pa.Table) -> pa.Table:
        ids = current.column("media_id")
        fresh = pc.and_(pc.equal(current.column("fingerprint"), made.fingerprint), pc.is_in(ids, media_ids))
        return pa.concat_tables([current.filter(pc.and_(fresh, pc.invert(pc.is_in(ids, new_ids)))), rows])

    return store.tables.update("frames", shard, build)


def _commit_quarantine(store: Store, shard: str, media: pa.Table, made: _Made) -> Commit | None:
    """Add the failures; take out what has frames by now, or is no media of this shard any more."""
    framed = store.tables.read("frames", columns=["media_id"], shard=shard).column("media_id")
    unframed = set(media.column("media_id").to_pylist()) - set(framed.to_pylist())
    return update_quarantine(
        store, shard, STAGE, failed=made.failed.values(), stands=lambda row: row["media_id"] in unframed
    )
