"""Asset ``audio_windows``: sound of audio files and videos, cut and resampled, in packs."""

import dagster as dg

from mmfs.features.preview import contact_sheet_of
from mmfs.ingest import audio_fingerprint, build_audio_windows
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.metadata import picture
from mmfs_assets.per_shard import per_shard
from mmfs_assets.progress import shard_progress
from mmfs_assets.shard_asset import shard_asset
from mmfs_resources import StoreResource


def audio_windows(settings: Settings) -> dg.AssetsDefinition:
    """The asset that decodes sound once, for everything downstream."""

    @shard_asset(
        settings,
        name="audio_windows",
        description=BASE_TABLES["audio_windows"].description,
        group="media",
        kinds={"python", "delta", "ffmpeg"},
        code_version=audio_fingerprint(settings.audio)[:16],
        reads=["raw_media"],
        deps=["raw_media"],
        table=BASE_TABLES["audio_windows"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = store.get()
        return per_shard(
            context,
            opened,
            lambda shard: build_audio_windows(opened, shard, progress=shard_progress(context, shard)),
            extra=lambda shards: picture(contact_sheet_of(opened, "audio_windows", shards), "sound of this run"),
        )

    return build
