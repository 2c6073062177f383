"""Asset ``raw_media``: hash, probe, validate and dedupe the files of a shard; quarantine what cannot be read."""

import time

import dagster as dg

from mmfs.ingest import register_media
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.steps.per_shard import Results, per_shard
from mmfs_assets.steps.progress import shard_progress
from mmfs_resources import StoreResource


def raw_media(settings: Settings) -> dg.AssetsDefinition:
    """The asset that looks into every listed file."""

    @shard_asset(
        settings,
        name="raw_media",
        description=described("raw_media"),
        source=register_media,
        group="media",
        kinds={"python", "delta"},
        code_version="1",
        reads=["listings"],
        deps=["listings"],
        table=BASE_TABLES["raw_media"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> Results:
        opened = store.get()
        yield from per_shard(
            context,
            opened,
            lambda shard: register_media(
                opened, shard, now_us=time.time_ns() // 1000, progress=shard_progress(context, shard)
            ),
        )

    return build
