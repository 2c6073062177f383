"""What ingest would do to a shard, known before a file is opened: files to read, media to decode, rows that will be.

Exact are the files to read, the frames of pictures, and the captions of media that are registered. What only reading
can tell is estimated and marked: which media unread files are, and which frames a video gives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.audio_windows import sounding
from mmfs.ingest.captions import captions_of, next_captions, split_captions
from mmfs.ingest.decoded import Row, missing_media
from mmfs.ingest.expected import (
    Mark,
    expected_rows,
    frame_indices,
    key_columns,
    kind_by_name,
    marks_of,
    placeholder,
    standing,
    window_indices,
)
from mmfs.ingest.fingerprints import audio_fingerprint, decoded_parts, frames_fingerprint
from mmfs.ingest.listed import Caption
from mmfs.ingest.listing_rows import read_captions
from mmfs.ingest.register import plan_registration
from mmfs.ingest.registration import Outcomes, ShardPlan, orphans
from mmfs.ingest.returned import returned_files
from mmfs.media.info import Reason
from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from mmfs.store.standing import FAILED, PredictedRows, Reads, ShardStatus

Step = Literal["raw_media", "captions", "frames", "audio_windows"]
#: Steps in the order in which they run.
STEPS: tuple[Step, ...] = ("raw_media", "captions", "frames", "audio_windows")

_NAMES = ("media_id", "kind", "uri", "audio_codec", "size_bytes", "fps", "frame_count", "duration_s")
_MEDIA = pa.schema([BASE_TABLES["raw_media"].column(name).field() for name in _NAMES])
#: In the place of the codec of a sound file that nobody read yet.
_UNREAD = "unread"


@dataclass(frozen=True)
class StepOutlook:
    """One step of ingest on one shard.

    Attributes:
        status: The counts. Of raw_media, rows are files: where equal bytes come twice, fewer media come out.
        rows: What the table will hold.
        reads: Original files that have to be read or decoded.
    """

    status: ShardStatus
    rows: PredictedRows
    reads: Reads


@dataclass(frozen=True)
class _Media:
    """The media of a shard as they will be.

    Attributes:
        rows: Columns of `_MEDIA`; media that nobody read yet have placeholders for ids.
        unread: Captions of those, by placeholder.
        pending: URIs that will be read.
    """

    rows: pa.Table
    unread: Mapping[str, list[Caption]]
    pending: frozenset[str]


class Outlook:
    """Looks at the shards of a store, one by one.

    Args:
        steps: Steps that will run; the tables of the others stay as they are.
    """

    def __init__(self, store: Store, steps: Collection[str] = STEPS) -> None:
        self._store = store
        self._steps = steps

    @cached_property
    def _returned(self) -> Mapping[tuple[str, str], list[str]]:
        return returned_files(self._store)

    def of(self, shard: str) -> dict[Step, StepOutlook]:
        """What each step would do to a shard. Opens no media."""
        found: dict[Step, StepOutlook] = {}
        media = _Media(self._read("raw_media", list(_NAMES), shard).cast(_MEDIA), {}, frozenset())
        if "raw_media" in self._steps:
            media, found["raw_media"] = self._raw_media(shard, media)
        if "captions" in self._steps:
            found["captions"] = self._captions(shard, media)
        if "frames" in self._steps:
            found["frames"] = self._frames(shard, media)
        if "audio_windows" in self._steps:
            found["audio_windows"] = self._audio_windows(shard, media)
        return found

    def _raw_media(self, shard: str, media: _Media) -> tuple[_Media, StepOutlook]:
        plan = plan_registration(self._store, shard)
        gone = orphans(plan, Outcomes())
        unread = self._unread(shard, plan)
        uris = unread.column("uri").to_pylist()
        ids, sizes = [placeholder(uri) for uri in uris], unread.column("size_bytes").to_pylist()
        kinds = [kind_by_name(uri) for uri in uris]
        codecs = [_UNREAD if kind == "audio" else None for kind in kinds]
        values: dict[str, list[Any]] = {
            "media_id": ids,
            "kind": kinds,
            "uri": uris,
            "audio_codec": codecs,
            "size_bytes": sizes,
        }
        new = pa.table([pa.array(values.get(field.name, [None] * len(uris)), field.type) for field in _MEDIA], _MEDIA)
        kept = media.rows.filter(pc.invert(pc.is_in(media.rows.column("media_id"), pa.array(gone, pa.string()))))
        rows = pa.concat_tables([kept, new]).sort_by("media_id")
        captions = {
            media_id: list(read_captions(cell))
            for media_id, cell in zip(ids, unread.column("captions").to_pylist(), strict=True)
        }
        step = StepOutlook(
            _registration(shard, plan, uris, gone=len(gone)),
            PredictedRows(BASE_TABLES["raw_media"], rows, frozenset(ids)),
            Reads(len(uris), sum(size or 0 for size in sizes)),
        )
        return _Media(rows, captions, frozenset(plan.pending)), step

    def _unread(self, shard: str, plan: ShardPlan) -> pa.Table:
        """Listings of the files that will be read: those that may be, and were not away the last time, or are back."""
        away = self._away("raw_media", shard)
        wanted = pa.array([uri for uri in plan.pending if away.get(uri) != plan.marks[uri]], pa.string())
        listings = plan.listings.select(["uri", "size_bytes", "captions", "refused"])
        return listings.filter(
            pc.and_(pc.is_in(listings.column("uri"), wanted), pc.is_null(listings.column("refused")))
        )

    def _away(self, step: Step, shard: str) -> dict[str, str]:
        """What was in quarantine for being away, and is not back: the marks by URI."""
        rows = self._read("quarantine", ["uri", "stage", "reason", "mark"], shard).to_pylist()
        back = set(self._returned.get((step, shard), ()))
        return {
            row["uri"]: row["mark"]
            for row in rows
            if row["stage"] == step and row["reason"] == Reason.MISSING.value and row["uri"] not in back
        }

    def _captions(self, shard: str, media: _Media) -> StepOutlook:
        current = self._store.tables.read("captions", shard=shard).drop_columns("shard")
        media_ids = media.rows.column("media_id").combine_chunks()
        wanted = captions_of(self._store, self._sources_of(media_ids, but=media.pending))
        wanted |= {media_id: captions for media_id, captions in media.unread.items() if captions}
        kept, listed = split_captions(current, media_ids)
        made: list[Mark] = [(row[0], row[1], row[-1]) for row in next_captions(listed, kept, wanted)]
        have, will = marks_of(current, "captions"), made + marks_of(kept, "captions")
        guessed = frozenset(media.unread)
        status = standing("captions", shard, have, will, cause="upstream", failed=0, guessed=guessed)
        return StepOutlook(status, expected_rows("captions", will, guessed=guessed), Reads())

    def _sources_of(self, media_ids: pa.Array, *, but: Collection[str]) -> Iterator[tuple[str, str, str]]:
        rows = self._sources.filter(pc.is_in(self._sources.column("media_id"), media_ids))
        columns = [rows.column(name).to_pylist() for name in ("shard", "uri", "media_id")]
        return (source for source in sorted(zip(*columns, strict=True)) if source[1] not in but)

    @cached_property
    def _sources(self) -> pa.Table:
        return self._store.tables.read("sources", columns=["shard", "uri", "media_id"])

    def _frames(self, shard: str, media: _Media) -> StepOutlook:
        config = self._store.settings.frames
        pictured = media.rows.filter(pc.is_in(media.rows.column("kind"), pa.array(["image", "video"])))
        return self._decoded(
            "frames",
            shard,
            pictured,
            frames_fingerprint(config),
            indices=lambda row: frame_indices(row, config),
            is_guess=lambda row: row["kind"] == "video" or row["media_id"] in media.unread,
        )

    def _audio_windows(self, shard: str, media: _Media) -> StepOutlook:
        config = self._store.settings.audio
        return self._decoded(
            "audio_windows",
            shard,
            sounding(media.rows),
            audio_fingerprint(config),
            indices=lambda row: window_indices(row["duration_s"], config),
            is_guess=lambda row: True,
        )

    def _decoded(
        self,
        table: Step,
        shard: str,
        media: pa.Table,
        fingerprint: str,
        *,
        indices: Callable[[Row], Sequence[int]],
        is_guess: Callable[[Row], bool],
    ) -> StepOutlook:
        """A step that decodes media into rows of one fingerprint."""
        current = self._read(table, [*key_columns(table), "fingerprint"], shard)
        missing = missing_media(self._store, shard, media, table=table, fingerprint=fingerprint)
        away = [uri for uri, mark in self._away(table, shard).items() if mark == fingerprint]
        missing = missing.filter(pc.invert(pc.is_in(missing.column("uri"), pa.array(away, pa.string()))))
        here = pc.is_in(current.column("media_id"), media.column("media_id").combine_chunks())
        fresh = current.filter(pc.and_(pc.equal(current.column("fingerprint"), fingerprint), here))
        to_decode = missing.to_pylist()
        made: list[Mark] = [(row["media_id"], index, fingerprint) for row in to_decode for index in indices(row)]
        guessed = frozenset(row["media_id"] for row in to_decode if is_guess(row))
        recorded = self._store.tables.commit_info(table, shard)
        parts = decoded_parts(table, self._store.settings)
        changed = [name for name, part in parts.items() if recorded.get(name, part) != part]
        have, will = marks_of(current, table), made + marks_of(fresh, table)
        status = standing(
            table,
            shard,
            have,
            will,
            cause="+".join(name.removeprefix("fingerprint.") for name in changed) or "code",
            failed=media.num_rows - missing.num_rows - len(fresh.column("media_id").unique()),
            guessed=guessed,
        )
        size_bytes = sum(row["size_bytes"] or 0 for row in to_decode)
        duration_s = sum(row["duration_s"] or 0.0 for row in to_decode)
        reads = Reads(len(to_decode), size_bytes, duration_s)
        return StepOutlook(status, expected_rows(table, will, guessed=guessed), reads)

    def _read(self, table: str, columns: list[str], shard: str) -> pa.Table:
        return self._store.tables.read(table, columns=columns, shard=shard)


def _registration(shard: str, plan: ShardPlan, unread: Collection[str], *, gone: int) -> ShardStatus:
    changed = sum(uri in plan.settled for uri in unread)
    fresh = len(plan.sources.keys() - set(plan.pending))
    failed = len(plan.marks) - fresh - len(unread)
    causes = {"new": len(unread) - changed, "upstream": changed, FAILED: failed}
    return ShardStatus(
        table="raw_media",
        shard=shard,
        rows=len(plan.marks),
        fresh=fresh,
        stale=changed,
        missing=len(unread) - changed,
        failed=failed,
        gone=gone,
        causes={name: rows for name, rows in causes.items() if rows},
        estimated=len(unread),
    )
