"""Every night: compute what is missing or stale, and look after the store. Neither waits for the other.

Maintenance begins while the computing may still go on: compaction gives way to whoever writes a shard, vacuum spares
writes in progress, and verification compares one version of each table. What one night leaves is taken up the next.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from mmfs.settings import Settings
from mmfs_resources import StoreResource


@dg.op
def launch_what_is_needed(context: dg.OpExecutionContext, store: StoreResource) -> None:
    """Look at what is missing or stale, and launch backfills of it; no shard that is under way is taken."""
    from mmfs_assets.planning.launch import launch_missing  # which imports the definitions, of which this is a part

    launched = launch_missing(store.get().settings, context.instance, title="nightly")
    said = f"launched backfills: {', '.join(launched.backfills) or 'none'}"
    context.log.info("; ".join(filter(None, (said, launched.left()))))


@dg.job(description="Launch what is missing or stale.", executor_def=dg.in_process_executor)
def nightly() -> None:
    """One step that looks; the daemon runs the backfills, on whatever executor is set."""
    launch_what_is_needed()


def expected_nightly(settings: Settings, assets: Sequence[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """The assets of maintenance, which warn when a night was missed and turn red after the second.

    Only where places are watched: a store that nobody looks after is not late. Media and features have no such policy,
    since they are old because nothing new came as a rule; the sensor's ticks say whether somebody looks.
    """
    if not settings.watch:
        return assets
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))
    return list(dg.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=policy), assets))


def schedules(settings: Settings, maintenance: UnresolvedAssetJobDefinition) -> list[dg.ScheduleDefinition]:
    """Both schedules; on from the start where ``MMFS_WATCH`` is set, as the sensors are."""
    status = dg.DefaultScheduleStatus.RUNNING if settings.watch else dg.DefaultScheduleStatus.STOPPED
    return [
        dg.ScheduleDefinition(
            name="nightly",
            job=nightly,
            cron_schedule="0 1 * * *",
            execution_timezone="UTC",
            default_status=status,
            description="Materializes what is missing or stale, also what failed by day.",
        ),
        dg.ScheduleDefinition(
            name="maintenance",
            job=maintenance,
            cron_schedule="0 4 * * *",
            execution_timezone="UTC",
            default_status=status,
            description="Compacts, vacuums and verifies the store.",
        ),
    ]
