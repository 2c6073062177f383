"""When shards are computed by themselves: new ones, and stale ones, the whole chain in one request.

A shard of an asset is asked for

- when it is missing for the first time, also if it was there before anybody watched;
- when one of its inputs was written, or is asked for in the same moment, so that a chain becomes one backfill;
- when the code or the model of the asset changed, also if older code writes it afterwards.

Asked for is asked for: a shard that fails is not asked for again at every tick, but when one of these happens anew, or
by the nightly schedule. An input that the failed run wrote counts as written: so shards whose upstream ended well go on
although others failed, and a failed step is tried once more. That begins at the next full ten minutes, since a run
whose process died is tried again by Dagster itself, at once. Nothing is asked for while a run or backfill works on it
or on its inputs, or while an input is missing.
"""

from collections.abc import Sequence

import dagster as dg

from mmfs.settings import Settings

SENSOR = "automation"
_PAUSE = "*/10 * * * *"


def new_or_stale() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """The condition of every asset over shards."""
    condition = dg.AutomationCondition
    asked, written = condition.newly_requested(), condition.newly_updated()
    missing = condition.newly_missing().since(asked | written)
    # What is written next may come of a run that began before: only asking settles it.
    other_code = condition.code_version_changed().since(asked)
    # One `since` for each: only so does Dagster compare times where both came between two ticks.
    input_written = condition.any_deps_match(condition.newly_updated())
    idle = ~condition.any_deps_in_progress() & ~condition.in_progress()
    input_is_newer = input_written.since(written) & input_written.since(asked)
    # A tick that looks while a step ends may see that nothing is in progress any more, but not yet what was written:
    # it is believed when the next tick sees the same.
    still_newer = input_is_newer & ~(input_is_newer & idle).newly_true()
    input_asked_for = condition.any_deps_match(condition.will_be_requested())
    failure_is_old = condition.cron_tick_passed(_PAUSE).since(condition.execution_failed().newly_true())
    return (
        (
            (missing | other_code).with_label("missing_or_other_code")
            | still_newer.with_label("input_is_newer")
            | input_asked_for.with_label("input_is_asked_for")
        )
        & ~condition.any_deps_missing()
        & idle
        & (~condition.execution_failed() | failure_is_old).with_label("not_just_failed")
    ).with_label("new_or_stale")


def watching(settings: Settings) -> dg.DefaultSensorStatus:
    """Sensors are on from the start where ``MMFS_WATCH`` names places to look at."""
    return dg.DefaultSensorStatus.RUNNING if settings.watch else dg.DefaultSensorStatus.STOPPED


def look_every_s(settings: Settings) -> int:
    """Seconds between looks at Dagster's own history, which costs no bucket anything: half a minute at most."""
    return min(settings.watch_every_s, 30)


def automation_sensor(settings: Settings, assets: Sequence[str]) -> dg.SensorDefinition:
    """The sensor that asks for shards; the daemon evaluates it.

    Args:
        assets: The assets over shards.
    """
    return dg.AutomationConditionSensorDefinition(
        name=SENSOR,
        target=dg.AssetSelection.assets(*assets),
        default_status=watching(settings),
        minimum_interval_seconds=look_every_s(settings),
        description="Materializes shards that are new, or whose inputs, code or model changed.",
    )
