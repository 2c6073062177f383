"""Tell people of runs that failed: one line in the log, and JSON to ``MMFS_WEBHOOK_URL``."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dagster as dg

from mmfs.settings import Settings
from mmfs_resources import WebhookResource

SENSOR = "failed_runs"
_MOST_CHARACTERS = 2000


def failed_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; on from the start where ``MMFS_WEBHOOK_URL`` is set."""

    @dg.run_failure_sensor(
        name=SENSOR,
        minimum_interval_seconds=settings.watch_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.webhook_url else dg.DefaultSensorStatus.STOPPED,
        description="Logs each run that failed, and posts it to MMFS_WEBHOOK_URL.",
    )
    def failed_runs(context: dg.RunFailureSensorContext, webhook: WebhookResource) -> None:
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
    error = "; ".join(_step_failure(event) for event in context.get_step_failure_events())
    error = (error or context.failure_event.message or "failed")[:_MOST_CHARACTERS]
    retried = run.tags.get("dagster/will_retry") == "true"
    url = _run_url(dagster_url, run.run_id)
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


def _step_failure(event: dg.DagsterEvent) -> str:
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


def _run_url(dagster_url: str | None, run_id: str) -> str | None:
    """Where the run is shown, without the user and password that the setting may hold."""
    if not dagster_url:
        return None
    parts = urlsplit(dagster_url)
    path = f"{parts.path.rstrip('/')}/runs/{run_id}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
