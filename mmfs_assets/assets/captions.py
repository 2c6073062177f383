"""Asset ``captions``: texts of sidecars and lists, several a media."""

import dagster as dg

from mmfs.ingest import build_captions
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.steps.per_shard import Results, per_shard
from mmfs_resources import StoreResource


def captions(settings: Settings) -> dg.AssetsDefinition:
    """The asset that gives every listed text to its media."""

    @shard_asset(
        settings,
        name="captions",
        description=described("captions"),
        source=build_captions,
        group="media",
        kinds={"python", "delta"},
        code_version="1",
        reads=["listings", "sources", "raw_media"],
        deps=["listings", "raw_media"],
        table=BASE_TABLES["captions"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> Results:
        opened = store.get()
        yield from per_shard(context, opened, lambda shard: build_captions(opened, shard))

    return build
