"""Asset ``audio_windows``: sound of audio files and videos, cut and resampled, in packs."""

import dagster as dg

from mmfs.ingest import audio_fingerprint, build_audio_windows
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.steps.per_shard import Results, per_shard
from mmfs_assets.steps.progress import shard_progress
from mmfs_resources import StoreResource


def audio_windows(settings: Settings) -> dg.AssetsDefinition:
    """The asset that decodes sound once, for everything downstream."""

    @shard_asset(
        settings,
        name="audio_windows",
        description=described("audio_windows"),
        source=build_audio_windows,
        group="media",
        kinds={"python", "delta", "ffmpeg"},
        code_version=audio_fingerprint(settings.audio)[:16],
        reads=["raw_media"],
        deps=["raw_media"],
        table=BASE_TABLES["audio_windows"],
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> Results:
        opened = store.get()
        yield from per_shard(
            context,
            opened,
            lambda shard: build_audio_windows(opened, shard, progress=shard_progress(context, shard)),
        )

    return build
