"""What must hold of media and the tables made from them: each lists what is wrong in one shard, and names files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.audio_windows import STAGE as AUDIO_WINDOWS
from mmfs.ingest.audio_windows import sounding
from mmfs.ingest.frames import STAGE as FRAMES
from mmfs.ingest.quarantine import MAY_PASS
from mmfs.ingest.register import STAGE as RAW_MEDIA
from mmfs.store.problem import Problem

if TYPE_CHECKING:
    from mmfs.store import Store


def unaccounted_files(store: Store, shard: str) -> list[Problem]:
    """Listed files that are neither a source of a media nor in quarantine, and media without a source."""
    listed = _column(store, "listings", "uri", shard)
    known = [*_column(store, "sources", "uri", shard), *_quarantined(store, shard, RAW_MEDIA)]
    lost = sorted(set(listed) - set(known))
    return _counted(lost, "listed files are neither media nor in quarantine")


def unaccounted_pictures(store: Store, shard: str) -> list[Problem]:
    """Pictures and videos without frames that are not in quarantine, and frames of media that are not there."""
    media = store.tables.read("raw_media", columns=["media_id", "kind", "uri"], shard=shard)
    pictured = media.filter(pc.is_in(media.column("kind"), pa.array(["image", "video"])))
    return _unaccounted(store, shard, FRAMES, pictured, "pictures or videos", "frames")


def unaccounted_sounds(store: Store, shard: str) -> list[Problem]:
    """Media with sound but without windows that are not in quarantine, and windows of media that are not there."""
    media = store.tables.read("raw_media", columns=["media_id", "audio_codec", "uri"], shard=shard)
    return _unaccounted(store, shard, AUDIO_WINDOWS, sounding(media), "media with sound", "audio windows")


def captions_of_nothing(store: Store, shard: str) -> list[Problem]:
    """Captions of media that are not there."""
    gone = set(_column(store, "captions", "media_id", shard)) - set(_column(store, "raw_media", "media_id", shard))
    return _counted(sorted(gone), "media have captions but no row")


def quarantine_above(store: Store, shard: str) -> list[Problem]:
    """The share of listed files in quarantine, where it is above the setting ``quarantine_share``."""
    listed = len(_column(store, "listings", "uri", shard))
    rows = store.tables.read("quarantine", columns=["uri", "stage", "reason"], shard=shard)
    files = rows.filter(pc.is_in(rows.column("stage"), pa.array([RAW_MEDIA, FRAMES, AUDIO_WINDOWS])))
    bad, reasons = set(files.column("uri").to_pylist()), Counter(files.column("reason").to_pylist())
    if not listed or len(bad) / listed <= store.settings.quarantine_share:
        return []
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    may_pass = sum(reasons[reason] for reason in MAY_PASS)
    again = f", {may_pass} for reasons that may pass (`mmfs retry`)" if may_pass else ""
    what = f"{len(bad)} of {listed} files ({len(bad) / listed:.1%}) are in quarantine{again}: {why}"
    return [Problem.of(sorted(bad), what)]


def _unaccounted(store: Store, shard: str, table: str, media: pa.Table, which: str, what: str) -> list[Problem]:
    there = set(_column(store, table, "media_id", shard))
    failed = set(_quarantined(store, shard, table))
    rows = zip(media.column("media_id").to_pylist(), media.column("uri").to_pylist(), strict=True)
    lost = [media_id for media_id, uri in rows if media_id not in there and uri not in failed]
    return [
        *_counted(lost, f"{which} have neither {what} nor a quarantine row"),
        *_counted(sorted(there - set(media.column("media_id").to_pylist())), f"media have {what} but no row"),
    ]


def _column(store: Store, table: str, column: str, shard: str) -> list[str]:
    values: list[str] = store.tables.read(table, columns=[column], shard=shard).column(column).to_pylist()
    return values


def _quarantined(store: Store, shard: str, stage: str) -> list[str]:
    rows = store.tables.read("quarantine", columns=["uri", "stage"], shard=shard)
    uris: list[str] = rows.filter(pc.equal(rows.column("stage"), stage)).column("uri").to_pylist()
    return uris


def _counted(items: list[str], what: str) -> list[Problem]:
    return [Problem.of(items, f"{len(items)} {what}")] if items else []
