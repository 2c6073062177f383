"""The rows that a registered shard should have: pure functions from what was listed, known and probed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ids import media_id_of
from mmfs.ingest.listed import change_mark
from mmfs.media import Failure, MediaInfo
from mmfs.schemas import BASE_TABLES

_RAW_MEDIA = pa.schema([column.field() for column in BASE_TABLES["raw_media"].columns])
_SOURCES = pa.schema([column.field() for column in BASE_TABLES["sources"].columns])
_STATED = ("licence", "creator", "attributes")


@dataclass(frozen=True)
class ShardPlan:
    """What is known of a shard before its files are read.

    Attributes:
        listings: Rows of ``listings``.
        marks: Change mark by listed URI.
        owned: Media ids that the shard holds.
        sources: Media id by URI, as registered before.
        settled: Mark by URI, of what was read or quarantined before.
        pending: URIs to read, sorted: never read, or changed since.
    """

    listings: pa.Table
    marks: Mapping[str, str]
    owned: frozenset[str]
    sources: Mapping[str, str]
    settled: Mapping[str, str]
    pending: tuple[str, ...]


@dataclass
class Outcomes:
    """What became of the pending URIs.

    Attributes:
        read: What each readable file is, by URI.
        failed: Why the others are none, by URI.
    """

    read: dict[str, MediaInfo] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)

    def media_ids(self) -> dict[str, str]:
        """Media id by readable URI."""
        return {uri: media_id_of(info.sha256) for uri, info in self.read.items()}


def plan_shard(
    listings: pa.Table,
    sources: pa.Table,
    quarantined: Mapping[str, str],
    *,
    owned: Collection[str],
    homeless: Collection[str],
) -> ShardPlan:
    """Find out which URIs of a shard have to be read.

    Args:
        sources: Rows of ``sources`` of the shard.
        quarantined: Mark by URI of earlier failures to read.
        owned: Media ids that the shard holds.
        homeless: Media of these sources that no shard holds any more; their URIs are read again.
    """
    columns = [listings.column(name).to_pylist() for name in ("uri", "etag", "size_bytes", "mtime_us", "refused")]
    marks = {uri: change_mark(*state) for uri, *state in zip(*columns, strict=True)}
    names = [sources.column(name).to_pylist() for name in ("media_id", "uri", "etag")]
    known = {uri: (media_id, mark) for media_id, uri, mark in zip(*names, strict=True) if uri in marks}
    settled = dict(quarantined) | {uri: mark for uri, (media_id, mark) in known.items() if media_id not in homeless}
    pending = tuple(sorted(uri for uri, mark in marks.items() if settled.get(uri) != mark))
    registered = {uri: media_id for uri, (media_id, _) in known.items()}
    return ShardPlan(listings, marks, frozenset(owned), registered, settled, pending)


def next_sources(current: pa.Table, plan: ShardPlan, outcomes: Outcomes, *, now_us: int) -> pa.Table:
    """``sources`` with the pending URIs at their new media, or gone when they failed."""
    pending = pa.array(plan.pending, pa.string())
    kept = current.filter(pc.invert(pc.is_in(current.column("uri"), pending)))
    rows = [
        {"media_id": media_id, "uri": uri, "seen_at_us": now_us, "etag": plan.marks[uri]}
        for uri, media_id in outcomes.media_ids().items()
    ]
    return pa.concat_tables([kept, pa.Table.from_pylist(rows, schema=_SOURCES)])


def next_raw_media(
    current: pa.Table,
    plan: ShardPlan,
    outcomes: Outcomes,
    *,
    elsewhere: Collection[str],
    foreign: Mapping[str, str],
    now_us: int,
) -> pa.Table:
    """``raw_media`` with the new media that no other shard holds, and without those that lost their last source.

    What sources state (licence, creator, attributes) follows the listing of the media's first source.

    Args:
        elsewhere: Media ids that other shards hold.
        foreign: For media that lost their last source in this shard, a source in another shard, if there is one.
    """
    found = _sources_by_media(plan, outcomes)
    lost = plan.owned - found.keys() - foreign.keys()
    current = current.filter(pc.invert(pc.is_in(current.column("media_id"), pa.array(lost, pa.string()))))
    here = set(current.column("media_id").to_pylist())
    stated = _stated(plan.listings)
    fresh = [
        _media_row(media_id, min(found[media_id]), outcomes, stated, now_us)
        for media_id in sorted(set(outcomes.media_ids().values()) - here - set(elsewhere))
    ]
    table = pa.concat_tables([current, pa.Table.from_pylist(fresh, schema=_RAW_MEDIA)])
    return _restate(table, {**{media_id: [uri] for media_id, uri in foreign.items()}, **found}, stated)


def orphans(plan: ShardPlan, outcomes: Outcomes) -> set[str]:
    """Media of the shard that have no source in it any more, because its file changed."""
    return set(plan.owned - _sources_by_media(plan, outcomes).keys())


def _sources_by_media(plan: ShardPlan, outcomes: Outcomes) -> dict[str, list[str]]:
    pending = set(plan.pending)
    found: dict[str, list[str]] = defaultdict(list)
    for uri, media_id in plan.sources.items():
        if uri not in pending:
            found[media_id].append(uri)
    for uri, media_id in outcomes.media_ids().items():
        found[media_id].append(uri)
    return dict(found)


def _media_row(
    media_id: str, uri: str, outcomes: Outcomes, stated: Mapping[str, dict[str, Any]], now_us: int
) -> dict[str, Any]:
    measured = asdict(outcomes.read[uri])
    return {"media_id": media_id, "uri": uri, "ingested_at_us": now_us, **measured, **stated[uri]}


def _stated(listings: pa.Table) -> dict[str, dict[str, Any]]:
    rows = listings.select(["uri", *_STATED, "added_by"]).to_pylist()
    return {row.pop("uri"): row for row in rows}


def _restate(table: pa.Table, found: Mapping[str, list[str]], stated: Mapping[str, dict[str, Any]]) -> pa.Table:
    """Let each row follow its first source: the one it has, while that still gives these bytes."""
    ids, uris = table.column("media_id").to_pylist(), table.column("uri").to_pylist()
    first = [
        uri if uri in here or not here else min(here)
        for uri, here in ((uri, found.get(media_id, [])) for media_id, uri in zip(ids, uris, strict=True))
    ]
    columns: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in _STATED}
    for at, uri in enumerate(first):
        if uri in stated:
            for name in _STATED:
                columns[name][at] = stated[uri][name]
    for name, values in {"uri": first, **columns}.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), pa.array(values, pa.string()))
    return table
