"""A backfill on Ray: runs and steps are its jobs, GPUs are given out by it, and a killed step is tried again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

import mmfs_assets
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.store import Store
from mmfs_assets.execution.instance_file import write_instance_file
from mmfs_assets.execution.pools import set_pool_limits
from mmfs_assets.planning.launch import launch_missing
from tests.assets.leases import leased_steps, shared_devices
from tests.deployment import deployed
from tests.features.slow import FEATURES, TABLE, Gate
from tests.many_shards import CHAIN, ManyShards, compute_plainly
from tests.ray_cluster import ray_cluster

SHARDS = 64
ASSETS = [*CHAIN, TABLE]
GPU_ASSETS = ASSETS[2:]


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_a_backfill_on_ray_survives_a_killed_step_and_equals_the_local_one(tmp_path: Path) -> None:
    world = ManyShards(tmp_path, SHARDS, files=1, shards_per_run=SHARDS // 2)
    world.make("store", "local")
    gate = Gate(tmp_path / "gate")
    gate.folder.mkdir()
    nodes = {
        "PYTHONPATH": str(Path(mmfs_assets.__file__).parent.parent),
        "OMP_NUM_THREADS": "1",
        **gate.environment,
    }
    with ray_cluster(gpus=2, cpus=4, environment=nodes, log=tmp_path / "ray.log") as address:
        environment = {
            **world.environment,
            "MMFS_DEVICE": "auto",
            "MMFS_EXECUTOR": "ray",
            "MMFS_FEATURES": FEATURES,
            "MMFS_RAY__ADDRESS": address,
            "MMFS_RAY__GPUS": "2",
        }
        settings = world.settings().model_validate(
            {
                **world.settings().model_dump(exclude_unset=True),
                "executor": "ray",
                "features": (FEATURES,),
                "ray": {"address": address, "gpus": 2},
            }
        )
        world.home.mkdir()
        write_instance_file(world.home, settings)
        with world.instance() as instance:
            set_pool_limits(instance, settings)
            [backfill_id] = launch_missing(settings, instance, title="on Ray", assets=ASSETS).backfills
            with deployed(world.home, environment, "code-server", "daemon") as deployment:
                # A step of each run works on a GPU; one of them is killed, as where memory is short.
                deployment.wait_for(lambda: len(gate.reached_by()) == 2)
                os.kill(min(gate.reached_by()), signal.SIGKILL)
                deployment.wait_for(lambda: len(gate.reached_by()) == 3)
                gate.open()

                def ended() -> bool:
                    runs = instance.get_runs(RunsFilter(tags={"dagster/backfill": backfill_id}))
                    return len(runs) == 2 and all(run.is_finished for run in runs)

                deployment.wait_for(ended, every_s=1)
            runs = instance.get_runs(RunsFilter(tags={"dagster/backfill": backfill_id}))
            assert [run.status for run in runs] == [DagsterRunStatus.SUCCESS] * 2
            retried = [
                event.step_key
                for run in runs
                for event in instance.all_logs(run.run_id, of_type={DagsterEventType.STEP_UP_FOR_RETRY})
            ]
            assert retried == [TABLE]
            steps = leased_steps(instance, [run.run_id for run in runs], GPU_ASSETS)
    assert len(steps) == 6
    assert not shared_devices(steps)
    assert {device for step in steps for device in step.devices} == {f"{os.uname().nodename}/cuda:{n}" for n in (0, 1)}
    local = Store.open(settings=world.settings("local"))
    shards = sorted(local.tables.shards("listings"))
    compute_plainly(local, shards)
    for shard in shards:
        run_feature(local, instantiate(registered(settings)[TABLE], settings), shard, device="cpu")
    found = world.store.tables
    assert {name: found.digest(name) for name in ASSETS} == {name: local.tables.digest(name) for name in ASSETS}
