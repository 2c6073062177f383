"""The code location: every asset, check, sensor and schedule, and what they work with."""

import dagster as dg

from mmfs.settings import Settings
from mmfs_assets.assets.audio_windows import audio_windows
from mmfs_assets.assets.captions import captions
from mmfs_assets.assets.checks import checks
from mmfs_assets.assets.demo_training_run import demo_training_run
from mmfs_assets.assets.duplicates import duplicates, duplicates_check
from mmfs_assets.assets.features import feature_assets
from mmfs_assets.assets.frames import frames
from mmfs_assets.assets.listings import listings_spec
from mmfs_assets.assets.maintenance import maintenance_assets, maintenance_job
from mmfs_assets.assets.qdrant_index import qdrant_index
from mmfs_assets.assets.raw_media import raw_media
from mmfs_assets.assets.training_runs import training_runs
from mmfs_assets.automation.alerts import failed_runs_sensor
from mmfs_assets.automation.conditions import automation_sensor
from mmfs_assets.automation.forgotten_retries import forgotten_retries_sensor
from mmfs_assets.automation.schedules import expected_nightly, nightly, schedules
from mmfs_assets.automation.sensors import new_media_sensor
from mmfs_assets.execution.executors import executor_for
from mmfs_assets.recorded import recorded_settings
from mmfs_resources import (
    GpuLeaseResource,
    MediaSourceResource,
    ModelResource,
    QdrantResource,
    StoreResource,
    TrainingLoaderResource,
    WebhookResource,
)


def definitions_for(settings: Settings) -> dg.Definitions:
    """The definitions for a store with these settings."""
    sharded = [
        raw_media(settings),
        captions(settings),
        frames(settings),
        audio_windows(settings),
        *feature_assets(settings),
        qdrant_index(settings),
    ]
    maintenance = maintenance_job()
    return dg.Definitions(
        assets=[
            listings_spec(),
            *sharded,
            duplicates(),
            *demo_training_run(settings),
            training_runs(settings),
            *expected_nightly(settings, maintenance_assets()),
        ],
        asset_checks=[*checks(settings), duplicates_check()],
        sensors=[
            new_media_sensor(settings),
            automation_sensor(settings, [asset.key.to_user_string() for asset in sharded]),
            failed_runs_sensor(settings),
            forgotten_retries_sensor(),
        ],
        schedules=schedules(settings, maintenance),
        jobs=[nightly, maintenance],
        executor=executor_for(settings),
        resources={
            "store": StoreResource.of(settings),
            "media_source": MediaSourceResource(uris=list(settings.watch)),
            "models": ModelResource(device=settings.device),
            "gpu": GpuLeaseResource.of(settings),
            "qdrant": QdrantResource(
                url=dg.EnvVar("MMFS_QDRANT_URL") if settings.qdrant_url else None,
                api_key=dg.EnvVar("MMFS_QDRANT_API_KEY") if settings.qdrant_api_key else None,
            ),
            "training": TrainingLoaderResource(),
            "webhook": WebhookResource(url=dg.EnvVar("MMFS_WEBHOOK_URL") if settings.webhook_url else None),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What ``dagster dev`` and ``dg`` load: the store of the environment."""
    return definitions_for(recorded_settings())
