"""A run that fails is told of in one message, which holds no secret, and telling never fails."""

from __future__ import annotations

import socket
import threading
import time

import dagster as dg
import pytest
from dagster._core.definitions.run_status_sensor_definition import _get_run_status_sensor_process_limit
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.client import DEFAULT_SENSOR_GRPC_TIMEOUT

from mmfs.settings import Settings
from mmfs_assets.automation.alerts import failed_runs_sensor, failure_message
from mmfs_assets.automation.conditions import automation_sensor
from mmfs_assets.automation.forgotten_retries import REPORTED_AGAIN
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


def _told(instance: dg.DagsterInstance, cursor: str | None, url: str) -> str | None:
    """A tick of the sensor as the daemon's, in its own code location; the cursor afterwards."""
    context = dg.SensorEvaluationContext(
        instance_ref=None,
        instance=instance,
        cursor=cursor,
        repository_name="__repository__",
        code_location_origin=RegisteredCodeLocationOrigin("mmfs_assets.definitions"),
        resources={"webhook": WebhookResource(url=url).get_resource_definition()},
    )
    ticked = failed_runs_sensor(Settings()).evaluate_tick(context)
    assert not [reaction for reaction in ticked.dagster_run_reactions or () if reaction.error]
    return ticked.cursor


def test_each_run_that_fails_is_told_of_once_also_one_of_a_terminal_and_one_that_is_reported_again() -> None:
    with dg.DagsterInstance.ephemeral() as instance, listening() as hook:
        cursor = _told(instance, None, hook.url)
        run = failed(instance, RANGE).dagster_run
        assert run.remote_job_origin is None
        for _ in range(3):
            instance.report_run_failed(run, REPORTED_AGAIN)
        for _ in range(2):
            cursor = _told(instance, cursor, hook.url)
        assert [message["run_id"] for message in hook.messages] == [run.run_id]


def test_a_webhook_that_does_not_answer_leaves_a_tick_its_time() -> None:
    assert webhook.DEADLINE_S * _get_run_status_sensor_process_limit() < 0.75 * DEFAULT_SENSOR_GRPC_TIMEOUT


def test_a_webhook_that_answers_late_hears_a_message_once_and_one_that_never_ends_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_S", 1.0)
    heard: list[float] = []
    begun, ended = threading.Event(), threading.Event()

    def post(url: str, body: bytes, *, timeout_s: float) -> int:
        heard.append(timeout_s)
        begun.set()
        ended.wait(60)
        return 200

    monkeypatch.setattr(webhook, "_post", post)
    began = time.monotonic()
    assert WebhookResource(url="http://127.0.0.1:1/s3cret").post({"text": "x"}) == "no answer in 1 s"
    assert time.monotonic() - began < 30
    assert begun.wait(30)
    ended.set()
    [timeout_s] = heard
    assert 0 < timeout_s <= 1.0


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
    monkeypatch.setattr(webhook, "DEADLINE_S", 0.05)
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


def test_looks_at_a_bucket_that_are_far_apart_make_no_message_late() -> None:
    assert failed_runs_sensor(Settings(watch_every_s=3600)).minimum_interval_seconds == 30
    assert automation_sensor(Settings(watch_every_s=3600), ["frames"]).minimum_interval_seconds == 30
