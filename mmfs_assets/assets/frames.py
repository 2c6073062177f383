"""Asset ``frames``: pictures sampled from videos and photos, resized, in packs."""

import dagster as dg

from mmfs.ingest import build_frames, frames_fingerprint
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.steps.per_shard import Results, per_shard
from mmfs_assets.steps.progress import shard_progress
from mmfs_resources import StoreResource


def frames(settings: Settings) -> dg.AssetsDefinition:
    """The asset that decodes videos and photos once, for everything downstream."""

    @shard_asset(
        settings,
        name="frames",
        description=described("frames"),
        source=build_frames,
        group="media",
        kinds={"python", "delta", "ffmpeg"},
        code_version=frames_fingerprint(settings.frames)[:16],
        reads=["raw_media"],
        deps=["raw_media"],
        table=BASE_TABLES["frames"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> Results:
        opened = store.get()
        yield from per_shard(
            context,
            opened,
            lambda shard: build_frames(opened, shard, progress=shard_progress(context, shard)),
        )

    return build
