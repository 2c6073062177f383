"""Asset ``frames``: pictures sampled from videos and photos, resized, in packs."""

import dagster as dg

from mmfs.features.preview import contact_sheet_of
from mmfs.ingest import build_frames, frames_fingerprint
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.metadata import picture
from mmfs_assets.per_shard import per_shard
from mmfs_assets.progress import shard_progress
from mmfs_assets.shard_asset import shard_asset
from mmfs_resources import StoreResource


def frames(settings: Settings) -> dg.AssetsDefinition:
    """The asset that decodes videos and photos once, for everything downstream."""

    @shard_asset(
        settings,
        name="frames",
        description=BASE_TABLES["frames"].description,
        group="media",
        kinds={"python", "delta", "ffmpeg"},
        code_version=frames_fingerprint(settings.frames)[:16],
        reads=["raw_media"],
        deps=["raw_media"],
        table=BASE_TABLES["frames"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = store.get()
        return per_shard(
            context,
            opened,
            lambda shard: build_frames(opened, shard, progress=shard_progress(context, shard)),
            extra=lambda shards: picture(contact_sheet_of(opened, "frames", shards), "frames of this run"),
        )

    return build
