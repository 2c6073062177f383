"""Asset ``listings``: which files belong to which shard; the root of the lineage.

No run makes it: `mmfs ingest` and the new-media sensor write the table, and report to Dagster what changed in it. That
turns everything below the shards concerned stale, in the UI and for automation.
"""

import json
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import DagsterEventType

from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import OWNERS
from mmfs_assets.assets.table_schema import column_schema
from mmfs_assets.partitions import SHARDS, shards_of

NAME = "listings"
KEY = dg.AssetKey(NAME)

#: Shards up to which the event log is asked for them by name; more are found among all.
_ASKED_BY_NAME = 500
#: Under which the instance remembers the file of each shard, and the digest of its rows.
_REMEMBERED = "mmfs/listings"

ListingEvent = dg.AssetObservation | dg.AssetMaterialization


def listings_spec() -> dg.AssetSpec:
    """The asset, an external one: files are given to shards by whoever lists them."""
    table = BASE_TABLES[NAME]
    return dg.AssetSpec(
        NAME,
        partitions_def=SHARDS,
        group_name="media",
        kinds={"delta"},
        owners=OWNERS,
        description=described(NAME),
        metadata={"dagster/table_name": NAME, "dagster/column_schema": column_schema(table)},
    )


def listing_events(
    instance: dg.DagsterInstance, store: Store, shards: Sequence[str] | None = None
) -> list[ListingEvent]:
    """What Dagster has to be told of: the shards whose listings differ from those that it last heard of.

    Dagster sees new data of an external asset in observations, and shows partitions by materializations, so a changed
    shard gives both. All observations come first: a run that begins after the last event has seen every one of them.

    Args:
        shards: Shards to look at; default: all.

    Returns:
        Events to report in this order; none when nothing changed.
    """
    wanted = shards_of(store) if shards is None else list(shards)
    if not wanted:
        return []
    known = instance.event_log_storage.get_latest_tags_by_partition(
        KEY,
        DagsterEventType.ASSET_MATERIALIZATION,
        [DATA_VERSION_TAG],
        asset_partitions=wanted if len(wanted) <= _ASKED_BY_NAME else None,
    )
    digests = _digests(instance, store, wanted)
    changed = {
        shard: digest for shard, digest in digests.items() if known.get(shard, {}).get(DATA_VERSION_TAG) != digest
    }
    if not changed:
        return []
    metadata = _figures(store, list(changed))
    facts: list[dict[str, Any]] = [
        {"partition": shard, "metadata": metadata.get(shard, {}), "tags": {DATA_VERSION_TAG: digest}}
        for shard, digest in changed.items()
    ]
    return [
        *(dg.AssetObservation(KEY, **fact) for fact in facts),
        *(dg.AssetMaterialization(KEY, **fact) for fact in facts),
    ]


def report_listings(instance: dg.DagsterInstance, store: Store, shards: Sequence[str] | None = None) -> None:
    """Tell Dagster what changed in the listings of shards; default: of all."""
    for event in listing_events(instance, store, shards):
        instance.report_runless_asset_event(event)


def _digests(instance: dg.DagsterInstance, store: Store, shards: Sequence[str]) -> dict[str, str]:
    """Content digests of shards. Names of files say their content, and the instance remembers what was read of each."""
    files = {file.shard: file.path for file in store.tables.files(NAME)}
    storage = instance.daemon_cursor_storage
    remembered = json.loads(storage.get_cursor_values({_REMEMBERED}).get(_REMEMBERED) or "{}")
    found = {shard: digest for shard, (path, digest) in remembered.items() if files.get(shard) == path}
    new = store.tables.digests(NAME, [shard for shard in shards if shard not in found])
    if new:
        found |= new
        kept = {shard: (files[shard], digest) for shard, digest in found.items() if shard in files}
        storage.set_cursor_values({_REMEMBERED: json.dumps(kept)})
    return {shard: found[shard] for shard in shards}


def _figures(store: Store, shards: Sequence[str]) -> dict[str, dict[str, int]]:
    rows = store.tables.read(NAME, columns=["shard", "size_bytes"], shard=shards)
    sums = rows.group_by("shard").aggregate([("size_bytes", "sum"), ([], "count_all")])
    return {row["shard"]: {"files": row["count_all"], "bytes": row["size_bytes_sum"] or 0} for row in sums.to_pylist()}
