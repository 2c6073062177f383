"""A run that waits for its pool sleeps, and begins soon after the slot was freed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from mmfs_assets.execution.waiting import CLAIM_EVERY_S, PatientClaims, in_process_executor
from mmfs_assets.planning.materialize import Materialized, _execute
from mmfs_assets.planning.runs import PlannedRun
from mmfs_assets.planning.watch import Silent

HELD_S = 2.5
began: list[float] = []


@dg.op(pool="gpu")
def on_a_device() -> None:
    began.append(time.monotonic())


@dg.job(executor_def=in_process_executor)
def waiting_job() -> None:
    on_a_device()


def _job() -> dg.JobDefinition:
    return waiting_job


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(
        json.dumps(
            {"telemetry": {"enabled": False}, "nux": {"enabled": False}, "concurrency": {"pools": {"default_limit": 1}}}
        )
    )
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as found:
        yield found


def test_waiting_for_a_slot_takes_no_processor_and_ends_soon_after_it_is_free(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default("gpu")
    assert storage.claim_concurrency_slot("gpu", "another run", "its step").is_claimed
    freed: list[float] = []

    def free() -> None:
        freed.append(time.monotonic())
        storage.free_concurrency_slots_for_run("another run")

    timer = threading.Timer(HELD_S, free)
    timer.start()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    assert dg.execute_job(dg.reconstructable(_job), instance=instance).success
    timer.join()
    waited_s = began[0] - wall_s
    assert waited_s > HELD_S * 0.9
    assert began[0] > freed[0]
    assert time.process_time() - cpu_s < 0.3 * waited_s
    assert storage.get_concurrency_info("gpu").active_slot_count == 0


@dg.asset(pool="gpu")
def on_a_device_too() -> None:
    """Waits for its pool."""


def test_runs_of_mmfs_materialize_wait_in_the_same_way(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.event_log_storage.initialize_concurrency_limit_to_default("gpu")
    claims: list[str] = []
    claim = PatientClaims.claim

    def noted(self: PatientClaims, concurrency_key: str, step_key: str, step_priority: int = 0) -> bool:
        claims.append(step_key)
        return claim(self, concurrency_key, step_key, step_priority)

    monkeypatch.setattr(PatientClaims, "claim", noted)
    job, done = dg.Definitions(assets=[on_a_device_too]).resolve_implicit_global_asset_job_def(), Materialized()
    _execute(job, instance, PlannedRun((), ("on_a_device_too",)), done, Silent())
    assert done.failures == {}
    assert claims == ["on_a_device_too"]


def test_a_claim_is_repeated_at_even_intervals_however_long_it_waits(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(waiting_job)
    other = instance.create_run_for_job(waiting_job)
    with PatientClaims(instance, run) as holder, PatientClaims(instance, other) as claims:
        assert holder.claim("gpu", "step")
        assert claims.interval_to_next_pending_claim_check() == 0.0
        assert not claims.claim("gpu", "step")
        claims._pending_claim_counts["step"] = 100  # from where on Dagster waits for 15 s
        claims._pending_timeouts["step"] = 0.0
        assert not claims.claim("gpu", "step")
        assert 0 < claims.interval_to_next_pending_claim_check() <= CLAIM_EVERY_S
        holder.free_step("step")
        claims._pending_timeouts["step"] = 0.0
        assert claims.claim("gpu", "step")
        claims.free_step("step")
