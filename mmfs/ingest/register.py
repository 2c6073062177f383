"""Register a shard: read its unseen files once, say what each is, and give equal bytes one row.

Three commits, in an order in which every prefix is mended by running again: `raw_media`, then `sources`, then
`quarantine`. A URI counts as done when the state of its file that was listed stands in `sources` or `quarantine`, so
after a kill between any two commits the files concerned are read again and come out the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from mmfs.ingest.holders import Holders
from mmfs.ingest.originals import Originals, copy_original
from mmfs.ingest.quarantine import (
    count_quarantined,
    listing_failure,
    quarantine_row,
    quarantined_marks,
    update_quarantine,
)
from mmfs.ingest.registration import Outcomes, ShardPlan, next_raw_media, next_sources, orphans, plan_shard
from mmfs.ingest.report import StepReport
from mmfs.media import Failure, Guard, ProbeJob, RefusedError
from mmfs.store import Commit, Store
from mmfs.store.costs import Cost, processor_name, recorded_cost

STAGE = "raw_media"

Progress = Callable[[int, int], None]


def register_media(store: Store, shard: str, *, now_us: int, progress: Progress | None = None) -> StepReport:
    """Bring ``raw_media``, ``sources`` and ``quarantine`` of a shard in line with its listings.

    Afterwards every listed URI is a source of a media, or in quarantine with the reason. Equal bytes are one media,
    owned by the shard that registered it first; other shards only add sources to it. Files that were read or
    quarantined before are not opened again unless they changed.

    Args:
        now_us: Time of the run, microseconds since 1970.
        progress: Called with files done and files to read.

    Raises:
        StoreError: The store, or a bucket with media, cannot be reached.
    """
    started = time.perf_counter()
    plan = plan_registration(store, shard)
    outcomes, copied_bytes = _read(store, plan, progress)
    cost = Cost(len(plan.pending), time.perf_counter() - started, device=processor_name(), pack_bytes=copied_bytes)
    media = _commit_media(store, shard, plan, outcomes, now_us, cost)
    commits = [media, *_commit_bookkeeping(store, shard, plan, outcomes, now_us)]
    computed = len(set(outcomes.media_ids().values())) if media.changed else 0
    return StepReport(
        table="raw_media",
        shard=shard,
        rows=media.rows,
        computed=min(computed, media.rows),
        carried=media.rows - min(computed, media.rows),
        quarantined=count_quarantined(store, shard, STAGE),
        seconds=time.perf_counter() - started,
        bytes_written=copied_bytes + sum(commit.size_bytes for commit in commits if commit.changed),
        digest=media.digest,
        version=media.version,
        changed=any(commit.changed for commit in commits),
    )


def plan_registration(store: Store, shard: str) -> ShardPlan:
    """Which files of a shard have to be read, and what is known of the others."""
    tables = store.tables
    sources = tables.read("sources", columns=["media_id", "uri", "etag"], shard=shard)
    owned = set(tables.read("raw_media", columns=["media_id"], shard=shard).column("media_id").to_pylist())
    foreign = set(sources.column("media_id").to_pylist()) - owned
    homeless = foreign - Holders(tables, "raw_media", "media_id", foreign).at().keys() if foreign else foreign
    listings = tables.read("listings", shard=shard)
    return plan_shard(
        listings, sources, quarantined_marks(store, shard, STAGE, by="uri"), owned=owned, homeless=homeless
    )


def _read(store: Store, plan: ShardPlan, progress: Progress | None) -> tuple[Outcomes, int]:
    """Read the pending files; what became of them, and how many bytes of them were copied into the store."""
    outcomes = Outcomes()
    copied_bytes = 0
    if not plan.pending:
        return outcomes, copied_bytes
    refused = dict(zip(*(plan.listings.column(name).to_pylist() for name in ("uri", "refused")), strict=True))
    with Originals(store) as originals, Guard(store.settings.guard, workers=store.settings.workers) as guard:

        def jobs() -> Iterator[ProbeJob]:
            for uri in plan.pending:
                try:
                    if refused[uri] is not None:
                        outcomes.failed[uri] = listing_failure(uri, refused[uri])
                    else:
                        yield ProbeJob(uri, originals.path(uri))
                except RefusedError as error:
                    outcomes.failed[uri] = Failure(uri, error.reason, error.what, 1, {})

        for outcome in guard.probe(jobs()):
            uri = outcome.id
            if isinstance(outcome, Failure):
                outcomes.failed[uri] = outcome
            else:
                try:
                    if store.settings.copy_media:
                        copied_bytes += copy_original(store, originals.path(uri), outcome.info.sha256)
                    outcomes.read[uri] = outcome.info
                except RefusedError as error:
                    outcomes.failed[uri] = Failure(uri, error.reason, error.what, 1, {})
            originals.release(uri)
            if progress:
                progress(len(outcomes.read) + len(outcomes.failed), len(plan.pending))
    if progress:
        progress(len(plan.pending), len(plan.pending))
    return outcomes, copied_bytes


def _commit_media(store: Store, shard: str, plan: ShardPlan, outcomes: Outcomes, now_us: int, cost: Cost) -> Commit:
    holders = Holders(store.tables, "raw_media", "media_id", outcomes.media_ids().values())
    foreign = _foreign_sources(store, shard, orphans(plan, outcomes))
    claimed: list[str] = []

    def build(current: pa.Table) -> pa.Table:
        nonlocal claimed
        elsewhere = holders.at(but=shard)
        claimed = [media_id for media_id in outcomes.media_ids().values() if media_id not in elsewhere]
        return next_raw_media(current, plan, outcomes, elsewhere=elsewhere.keys(), foreign=foreign, now_us=now_us)

    def check(version: int) -> None:
        holders.check(claimed, shard, version)

    info = recorded_cost(cost, before=store.tables.commit_info("raw_media", shard))
    return store.tables.update("raw_media", shard, build, info=info, check=check)


def _foreign_sources(store: Store, shard: str, media_ids: set[str]) -> dict[str, str]:
    """For media without a source in this shard, the first one that other shards have, where they have any."""
    if not media_ids:
        return {}
    homes = Holders(store.tables, "sources", "media_id", media_ids).at(but=shard)
    found: dict[str, str] = {}
    for other in sorted(set(homes.values())):
        rows = store.tables.read("sources", columns=["media_id", "uri"], shard=other)
        for media_id, uri in zip(rows.column("media_id").to_pylist(), rows.column("uri").to_pylist(), strict=True):
            if media_id in media_ids:
                found.setdefault(media_id, uri)
    return found


def _commit_bookkeeping(store: Store, shard: str, plan: ShardPlan, outcomes: Outcomes, now_us: int) -> Iterator[Commit]:
    if plan.pending:
        yield store.tables.update(
            "sources", shard, lambda current: next_sources(current, plan, outcomes, now_us=now_us)
        )
    failed = [
        quarantine_row(failure, uri=uri, stage=STAGE, mark=plan.marks[uri], at_us=now_us)
        for uri, failure in outcomes.failed.items()
    ]
    settled = plan.sources.keys() | outcomes.read.keys()
    commit = update_quarantine(store, shard, STAGE, failed=failed, stands=lambda row: row["uri"] not in settled)
    if commit:
        yield commit
