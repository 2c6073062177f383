"""New media: look through the watched places, give unseen files to shards, and tell Dagster which shards changed.

No runs are asked for here: what the changed shards need is for the conditions in `automation` to say.
"""

import json
import time
from dataclasses import asdict, dataclass, replace

import dagster as dg

from mmfs.errors import StoreError
from mmfs.ingest import Familiar, IngestReport, Listing, Page, assign
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.assets.listings import NAME, listing_events
from mmfs_assets.automation.conditions import watching
from mmfs_assets.partitions import SHARDS, shards_of
from mmfs_resources import MediaSourceResource, StoreResource

#: Shards that Dagster is told of in one tick: some thousands would take longer than it waits for a sensor.
_TOLD_AT_ONCE = 500


def new_media_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; on from the start where ``MMFS_WATCH`` names places to look at."""
    familiar = Familiar()

    @dg.sensor(
        name="new_media",
        minimum_interval_seconds=settings.watch_every_s,
        default_status=watching(settings),
        description="Looks through MMFS_WATCH, a page a tick, and gives unseen media to shards.",
    )
    def new_media(
        context: dg.SensorEvaluationContext, store: StoreResource, media_source: MediaSourceResource
    ) -> dg.SensorResult:
        opened, known = store.get(), _Cursor.read(context.cursor)
        now_us = time.time_ns() // 1000
        page = report = None
        if media_source.watched(opened.settings):
            page = media_source.look(opened.settings, known.page, now_us=now_us)
            report = _give_to_shards(opened, page.listing, familiar, now_us)
            for failure in page.failures:
                context.log.error(failure)
            for warning in page.listing.warnings:
                context.log.warning(warning)
        partitions = set(context.instance.get_dynamic_partitions("shard"))
        new = [shard for shard in shards_of(opened) if shard not in partitions]
        telling, shards = _next_told(opened, known)
        return dg.SensorResult(
            dynamic_partitions_requests=[SHARDS.build_add_request(new)] if new else [],
            asset_events=listing_events(context.instance, opened, shards) if shards else [],
            cursor=replace(telling, page=page.cursor if page else None).write(),
            skip_reason=dg.SkipReason(_said(page, report, len(new))),
        )

    return new_media


def _give_to_shards(store: Store, listing: Listing, familiar: Familiar, now_us: int) -> IngestReport | None:
    """Assign what is not known to be listed just so; None when there is nothing."""
    version = store.tables.version(NAME)
    found = familiar.unfamiliar(listing, version=version)
    if not found:
        return None
    report = assign(store, found, added_by="sensor new_media", now_us=now_us)
    # Where somebody else has written meanwhile, the listings are not at this version, and all is forgotten.
    familiar.remember(found, version=version + report.commits)
    return report


@dataclass(frozen=True)
class _Cursor:
    """What Dagster was told, and where the next page begins.

    Attributes:
        version: Version of the listings that it was told of.
        towards: Version that it is being told of; None: of no other.
        told: Last shard of those that differ between the two that it was told of.
        page: Cursor of the looks.
    """

    version: int | None = None
    towards: int | None = None
    told: str | None = None
    page: str | None = None

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        try:
            found = cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()
        numbers, texts = (found.version, found.towards), (found.told, found.page)
        is_sound = all(isinstance(one, int | None) for one in numbers) and all(
            isinstance(one, str | None) for one in texts
        )
        return found if is_sound else cls()

    def write(self) -> str:
        return json.dumps(asdict(self))


def _next_told(store: Store, known: _Cursor) -> tuple[_Cursor, list[str]]:
    """The next shards to tell Dagster of, and the cursor then: a store that it never heard of takes some ticks."""
    now = store.tables.version(NAME)
    if known.towards is None and known.version == now:
        return known, []
    changed = [shard for shard in _changed_since(store, known.version) if shard > (known.told or "")]
    towards = now if known.towards is None else known.towards
    if len(changed) <= _TOLD_AT_ONCE:
        return _Cursor(version=towards), changed
    return _Cursor(known.version, towards, changed[_TOLD_AT_ONCE - 1]), changed[:_TOLD_AT_ONCE]


def _changed_since(store: Store, version: int | None) -> list[str]:
    """Shards whose listings differ from those at a version; all shards where it is not there.

    File names say their content, so the comparison reads the table's log alone.
    """
    now = {file.shard: file.path for file in store.tables.files(NAME)}
    try:
        before = {file.shard: file.path for file in store.tables.files(NAME, version=version)} if version else {}
    except StoreError:  # another store lies there now
        before = {}
    return sorted(shard for shard, path in now.items() if before.get(shard) != path)


def _said(page: Page | None, report: IngestReport | None, new: int) -> str:
    """What the tick did, as its line in the UI: a failure stands first."""
    if page is None:
        return "no place is watched (MMFS_WATCH); shards listed by hand are reported"
    parts = [f"could not look at {failure}" for failure in page.failures]
    parts.append(f"looked at {page.looked} entries" + (", the end of a round" if page.ends_round else ""))
    if report and (report.new or report.updated):
        parts.append(f"{report.new} new files, {report.updated} changed ones, {new} new shards")
    else:
        parts.append("no new media")
    if page.waiting:
        parts.append(f"{page.waiting} files wait until they have settled")
    return "; ".join(parts)
