"""A run that fails is told of in one message, which holds no secret, and telling never fails."""

from __future__ import annotations

import socket

import dagster as dg
import pytest

from mmfs.settings import Settings
from mmfs_assets.automation.alerts import failed_runs_sensor, failure_message
from mmfs_resources import WebhookResource, webhook
from tests.webhook import listening

SHARDS = dg.DynamicPartitionsDefinition(name="shard")


@dg.asset(partitions_def=SHARDS, backfill_policy=dg.BackfillPolicy.multi_run(8))
def frames() -> None:
    """Fails as assets over shards do."""
    raise dg.Failure("1 of 2 shards of frames failed: 000001 (StoreError: no)", allow_retries=False)


def failed(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.RunFailureSensorContext:
    instance.add_dynamic_partitions("shard", ["000000", "000001"])
    job = dg.Definitions(assets=[frames]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance, tags=tags, raise_on_error=False, asset_selection=[dg.AssetKey("frames")]
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    )
    return context.for_run_failure()


RANGE = {"dagster/asset_partition_range_start": "000000", "dagster/asset_partition_range_end": "000001"}


def test_a_message_names_run_assets_shards_and_error_and_where_to_look() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        context = failed(instance, RANGE)
        message = failure_message(context, "https://user:pa55@dagster.example/base/")
    run_id = context.dagster_run.run_id
    assert message == {
        "event": "run_failed",
        "run_id": run_id,
        "job": "__ASSET_JOB",
        "assets": ["frames"],
        "shards": "shards 000000 to 000001",
        "backfill": None,
        "error": "1 of 2 shards of frames failed: 000001 (StoreError: no)",
        "will_be_retried": False,
        "url": f"https://dagster.example/base/runs/{run_id}",
        "text": f"run {run_id[:8]} of frames over shards 000000 to 000001 failed: 1 of 2 shards of frames failed: "
        f"000001 (StoreError: no). https://dagster.example/base/runs/{run_id}",
    }


def test_a_failed_run_is_posted_once_and_logged() -> None:
    sensor = failed_runs_sensor(Settings())
    with dg.DagsterInstance.ephemeral() as instance, listening() as hook:
        context = failed(instance, {"dagster/partition": "000001", "dagster/will_retry": "true"})
        sensor(context, webhook=WebhookResource(url=hook.url))
    [message] = hook.messages
    assert message["shards"] == "shard 000001"
    assert message["will_be_retried"]
    assert "It is tried again." in message["text"]


def test_a_busy_webhook_is_asked_again_and_a_refusing_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_LONGEST_PAUSE_S", 0.0)
    with listening([503, 429]) as hook:
        assert WebhookResource(url=hook.url).post({"text": "x"}) is None
        assert hook.messages == [{"text": "x"}] * 3
        assert hook.paths == ["/services/s3cret?key=s3cret"] * 3
    with listening([404]) as hook:
        assert WebhookResource(url=hook.url).post({"text": "x"}) == "the answer was 404"
        assert len(hook.messages) == 1
    with listening([302]) as hook:
        assert WebhookResource(url=hook.url).post({"text": "x"}) == "the answer was 302"


def test_telling_never_raises_and_no_problem_holds_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 0.05)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        silent = f"http://127.0.0.1:{deaf.getsockname()[1]}/s3cret"
        urls = [silent, "http://127.0.0.1:1/s3cret", "ftp://s3cret", "s3cret", "http://[s3cret", "http://x:s3cret/"]
        problems = [WebhookResource(url=url).post({"text": "x"}) for url in urls]
    assert all(problem and "s3cret" not in problem for problem in problems), problems


def test_the_sensor_is_on_only_where_a_webhook_is_set() -> None:
    assert failed_runs_sensor(Settings()).default_status == dg.DefaultSensorStatus.STOPPED
    told = Settings.model_validate({"webhook_url": "http://127.0.0.1:1/x"})
    assert failed_runs_sensor(told).default_status == dg.DefaultSensorStatus.RUNNING
