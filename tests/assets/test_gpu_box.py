"""One box with two devices, as it runs in production: no two steps share one, and a killed run gives its own back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterRunStatus

import mmfs_assets
from mmfs.ingest import build_frames, register_media
from mmfs_assets.execution.instance_config import instance_config
from mmfs_assets.execution.pools import set_pool_limits
from mmfs_assets.planning.launch import launch_missing
from tests.assets.leases import leased_steps, most_at_once, shared_devices
from tests.deployment import deployed
from tests.features.slow import FEATURES, TABLE, Gate
from tests.many_shards import ManyShards

UNFINISHED = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]


def _by_process(instance: dg.DagsterInstance) -> dict[int, str]:
    """Runs that have started, by the process that works on them."""
    found = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            pid = entry.dagster_event.engine_event_data.metadata.get("pid") if entry.dagster_event else None
            if pid is not None:
                found[int(str(pid.value))] = run.run_id
    return found


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_two_devices_are_never_shared_and_a_killed_run_is_tried_again(tmp_path: Path) -> None:
    world = ManyShards(tmp_path, shards=6, files=2, shards_per_run=2)
    world.make()
    store = world.store
    for shard in store.tables.shards("listings"):
        register_media(store, shard, now_us=1)
        build_frames(store, shard)
    gate = Gate(tmp_path / "gate")
    gate.folder.mkdir()
    box = {"executor": "gpu_box", "gpus": ("cpu:0", "cpu:1"), "features": (FEATURES,)}
    settings = world.settings().model_copy(update=box)
    environment = {
        **world.environment,
        "MMFS_EXECUTOR": "gpu_box",
        "MMFS_GPUS": "cpu:0,cpu:1",
        "MMFS_FEATURES": FEATURES,
        "PYTHONPATH": str(Path(mmfs_assets.__file__).parent.parent),
        "TMPDIR": str(tmp_path),
        **gate.environment,
    }
    soon = {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1}
    config = instance_config(settings)
    world.home.mkdir()
    (world.home / "dagster.yaml").write_text(
        json.dumps({**config, "run_monitoring": {**config["run_monitoring"], **soon}})
    )
    with world.instance() as instance:
        assert set_pool_limits(instance, settings)["gpu"] == 2
        assert launch_missing(settings, instance, title="on a box", assets=[TABLE]).backfills
        with deployed(world.home, environment, "code-server", "daemon") as deployment:
            deployment.wait_for(lambda: len(gate.reached_by()) == 2)
            process = min(gate.reached_by())
            killed = _by_process(instance)[process]
            os.kill(process, signal.SIGKILL)
            # The device of the killed one is leased anew, and the other one still works.
            deployment.wait_for(lambda: len(gate.reached_by()) == 3)
            gate.open()
            deployment.wait_for(
                lambda: (
                    len(world.store.tables.shards(TABLE)) == world.shards
                    and not instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
                )
            )
            pool = instance.event_log_storage.get_concurrency_info("gpu")
            deployment.wait_for(lambda: instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0)
        runs = {run.run_id: run for run in instance.get_runs()}
        steps = leased_steps(instance, runs, [TABLE])
    assert pool.slot_count == 2
    assert runs[killed].status == DagsterRunStatus.FAILURE
    [again] = [run for run in runs.values() if run.parent_run_id == killed]
    assert again.status == DagsterRunStatus.SUCCESS
    assert len(steps) == 3
    assert most_at_once(steps) == 2
    assert not shared_devices(steps)
    assert {device for step in steps for device in step.devices} == {"cpu:0", "cpu:1"}
