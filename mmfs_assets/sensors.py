"""New media: list the watched places, give unseen files to shards, and run the shards that changed."""

import time

import dagster as dg

from mmfs.ingest import assign
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.partitions import SHARDS, shards_of
from mmfs_assets.runs import plan_runs
from mmfs_resources import MediaSourceResource, StoreResource


def new_media_sensor(settings: Settings, assets: list[str]) -> dg.SensorDefinition:
    """The sensor; on from the start where ``MMFS_WATCH`` names places to look at.

    Args:
        assets: The partitioned assets, upstream first.
    """

    @dg.sensor(
        name="new_media",
        target=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.watch else dg.DefaultSensorStatus.STOPPED,
        description="Lists MMFS_WATCH, gives unseen media to shards, and materializes the shards that changed.",
    )
    def new_media(
        context: dg.SensorEvaluationContext, store: StoreResource, media_source: MediaSourceResource
    ) -> dg.SensorResult | dg.SkipReason:
        opened = store.get()
        if media_source.watched(opened.settings):
            listing = media_source.look(opened.settings)
            assign(opened, listing, added_by="sensor new_media", now_us=time.time_ns() // 1000)
        version = opened.tables.version("listings")
        if context.cursor == str(version):
            return dg.SkipReason("no new media")
        shards = shards_of(opened)
        known = list(context.instance.get_dynamic_partitions("shard"))
        new = [shard for shard in shards if shard not in set(known)]
        changed = _changed_since(opened, context.cursor)
        runs = plan_runs(
            {shard: dict.fromkeys(assets) for shard in changed},
            partitions=[*known, *new],
            assets=assets,
            shards_per_run=opened.settings.shards_per_run,
        )
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"listings-{version}-{run.shards[0]}",
                    tags=run.tags,
                    asset_selection=[dg.AssetKey(asset) for asset in run.assets],
                )
                for run in runs
            ],
            dynamic_partitions_requests=[SHARDS.build_add_request(new)] if new else [],
            cursor=str(version),
        )

    return new_media


def _changed_since(store: Store, cursor: str | None) -> list[str]:
    """Shards whose listings differ from those at the version in the cursor; all shards without one.

    File names say their content, so the comparison reads the table's log alone.
    """
    now = {file.shard: file.path for file in store.tables.files("listings")}
    before = {file.shard: file.path for file in store.tables.files("listings", version=int(cursor))} if cursor else {}
    return sorted(shard for shard, path in now.items() if before.get(shard) != path)
