"""Failed runs that Dagster means to try again, and forgot.

Its daemon tries a run again when it comes across the event of the failure, once. It misses that where it reads the
event just before the run counts as failed, and where the code server is away at that moment. The backfill of such a run
would wait for ever, or end with holes. So the failure is reported again, some times at most; the daemon never makes two
retries of one run.
"""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import DagsterEventType, RunFailureReason
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARENT_RUN_ID_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

#: After so long the daemon has had its chance; older failures than a day were seen by people.
GRACE_S, OLDEST = 20.0, timedelta(days=1)
_MOST_REPORTS = 5
#: What the repeated event says, so that nobody takes it for another failure.
REPORTED_AGAIN = "Its retry was forgotten: reported again, so that it is tried again."


def forgotten_retries_sensor() -> dg.SensorDefinition:
    """The sensor; on from the start, since it asks for nothing that Dagster was not told to do anyway."""

    @dg.sensor(
        name="forgotten_retries",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reminds Dagster of runs whose process died and that it means to try again, if it missed one.",
    )
    def forgotten_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        again = report_again(context.instance, now_s=time.time())
        return dg.SkipReason("reported again: " + ", ".join(again) if again else "no retry was forgotten")

    return forgotten_retries


def report_again(instance: dg.DagsterInstance, *, now_s: float) -> list[str]:
    """Report the failure of forgotten runs again; their ids.

    Args:
        now_s: Seconds since 1970.
    """
    again = []
    since = datetime.fromtimestamp(now_s, UTC) - OLDEST
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    for record in instance.get_run_records(failed):
        run = record.dagster_run
        if now_s - record.update_timestamp.timestamp() > GRACE_S and _is_forgotten(instance, run):
            # First the tag: the daemon looks at it when it comes across the event.
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
            instance.report_run_failed(run, REPORTED_AGAIN)
            again.append(run.run_id)
    return again


def _is_forgotten(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if run.remote_job_origin is None or not instance.run_retries_enabled:
        return False
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    if not auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None):
        return False
    if instance.get_runs_count(dg.RunsFilter(tags={PARENT_RUN_ID_TAG: run.run_id})):
        return False
    if BACKFILL_ID_TAG in run.tags:  # the daemon tries no run again whose backfill is over or gone
        backfill = instance.get_backfill(run.tags[BACKFILL_ID_TAG])
        if backfill is None or backfill.status in BULK_ACTION_TERMINAL_STATUSES:
            return False
    return len(instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)) < _MOST_REPORTS
