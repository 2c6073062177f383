"""Tell people of runs that failed: one line in the log, and JSON to ``MMFS_WEBHOOK_URL``."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mmfs.settings import Settings
from mmfs_assets.automation.conditions import look_every_s
from mmfs_assets.automation.forgotten_retries import REPORTED_AGAIN
from mmfs_assets.page_urls import page_url
from mmfs_resources import WebhookResource

SENSOR = "failed_runs"
_MOST_CHARACTERS = 2000


def failed_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; on from the start where ``MMFS_WEBHOOK_URL`` is set."""

    @dg.run_failure_sensor(
        name=SENSOR,
        minimum_interval_seconds=look_every_s(settings),
        # Runs of `mmfs materialize` belong to no code location.
        monitor_all_code_locations=True,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.webhook_url else dg.DefaultSensorStatus.STOPPED,
        description="Logs each run that failed, and posts it to MMFS_WEBHOOK_URL.",
    )
    def failed_runs(context: dg.RunFailureSensorContext, webhook: WebhookResource) -> None:
        if context.failure_event.message == REPORTED_AGAIN:
            return
        message = failure_message(context, settings.dagster_url)
        context.log.error(message["text"])
        if webhook.url:
            problem = webhook.post(message)
            if problem:
                context.log.error(f"the webhook was not told of run {context.dagster_run.run_id}: {problem}")

    return failed_runs


def failure_message(context: dg.RunFailureSensorContext, dagster_url: str | None) -> dict[str, Any]:
    """What is said about a run: fields for programs, and ``text``, which chat programs show."""
    run = context.dagster_run
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    shards = _shards(run.tags)
    error = "; ".join(step_failure(event) for event in context.get_step_failure_events())
    error = (error or context.failure_event.message or "failed")[:_MOST_CHARACTERS]
    retried = run.tags.get("dagster/will_retry") == "true"
    url = page_url(dagster_url, f"runs/{run.run_id}")
    what = f"run {run.run_id[:8]} of {', '.join(assets) or run.job_name}"
    over = f" over {shards}" if shards else ""
    ending = " It is tried again." if retried else ""
    return {
        "event": "run_failed",
        "run_id": run.run_id,
        "job": run.job_name,
        "assets": assets,
        "shards": shards,
        "backfill": run.tags.get("dagster/backfill"),
        "error": error,
        "will_be_retried": retried,
        "url": url,
        "text": f"{what}{over} failed: {error}{'' if error.endswith('.') else '.'}{ending}{f' {url}' if url else ''}",
    }


def step_failure(event: dg.DagsterEvent) -> str:
    """What a step says of its failure; of one that found bad shards, their names and errors."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return f"{event.step_key}: {data.error.message.strip() if data.error else 'failed'}"


def _shards(tags: Mapping[str, str]) -> str:
    """The shards of a run in words; empty for a run without."""
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first and last:
        return f"shards {first} to {last}"
    return f"shard {tags['dagster/partition']}" if "dagster/partition" in tags else ""
