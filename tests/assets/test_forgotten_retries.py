"""A failed run that Dagster means to try again, and forgot, is reported again; nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType, JobFailureData, RunFailureReason
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, WILL_RETRY_TAG

from mmfs.settings import Settings
from mmfs_assets.automation.forgotten_retries import GRACE_S, report_again
from mmfs_assets.execution.instance_config import instance_config

LOCATION = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="mmfs")
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(LOCATION, "__repository__"), "nothing")


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(json.dumps(instance_config(Settings())))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as found:
        yield found


def _failed(instance: dg.DagsterInstance, why: RunFailureReason | None = None, **tags: str) -> str:
    job = dg.JobDefinition(graph_def=dg.GraphDefinition("nothing"))
    run = instance.create_run_for_job(job, tags=tags, remote_job_origin=ORIGIN)
    instance.report_run_failed(run, "killed", JobFailureData(error=None, failure_reason=why) if why else None)
    return run.run_id


def _reports(instance: dg.DagsterInstance, run_id: str) -> int:
    return len(instance.all_logs(run_id, of_type=DagsterEventType.RUN_FAILURE))


def test_a_forgotten_run_is_reported_again_after_a_while_and_not_for_ever(instance: dg.DagsterInstance) -> None:
    run_id = _failed(instance)
    instance.add_run_tags(run_id, {WILL_RETRY_TAG: "false"})  # as the daemon leaves it when the code server was away
    assert report_again(instance, now_s=time.time()) == []
    later = time.time() + 2 * GRACE_S
    assert report_again(instance, now_s=later) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "true"
    assert _reports(instance, run_id) == 2
    for _ in range(10):
        report_again(instance, now_s=later)
    assert _reports(instance, run_id) == 5


def test_a_run_that_failed_on_bad_shards_or_was_tried_again_stays_as_it_is(instance: dg.DagsterInstance) -> None:
    bad = _failed(instance, RunFailureReason.STEP_FAILURE)
    tried = _failed(instance)
    again = _failed(instance, **{PARENT_RUN_ID_TAG: tried, ROOT_RUN_ID_TAG: tried})
    assert report_again(instance, now_s=time.time() + 2 * GRACE_S) == [again]
    assert {_reports(instance, run_id) for run_id in (bad, tried)} == {1}


def test_a_run_whose_backfill_is_gone_is_forgotten_for_good(instance: dg.DagsterInstance) -> None:
    run_id = _failed(instance, **{BACKFILL_ID_TAG: "gone"})
    assert report_again(instance, now_s=time.time() + 2 * GRACE_S) == []
    assert _reports(instance, run_id) == 1
