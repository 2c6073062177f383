"""The launcher says whether a run's process lives, and does not guess."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from mmfs.settings import Settings
from mmfs_assets.execution import DAEMON_VARIABLES
from mmfs_assets.execution.instance_config import instance_config
from mmfs_assets.execution.run_launcher import LocalRunLauncher
from mmfs_assets.planning.orphans import PROCESS_TAG, process_tag

NOBODY_LISTENS = 1


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(json.dumps(instance_config(Settings())))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as found:
        yield found


@pytest.fixture
def process() -> Iterator[BaseProcess]:
    """A process as a code server starts one for a run."""
    found = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    found.start()
    yield found
    found.kill()
    found.join()


def _started(instance: dg.DagsterInstance, tags: dict[str, str], pid: int | None = None) -> dg.DagsterRun:
    run = instance.create_run_for_job(dg.JobDefinition(graph_def=dg.GraphDefinition("nothing")), tags=tags)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
    return run


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher)
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


def test_a_process_that_lives_is_running_although_its_code_server_is_gone(
    instance: dg.DagsterInstance, process: BaseProcess
) -> None:
    server = {"host": "127.0.0.1", "port": NOBODY_LISTENS}
    assert (
        _status(instance, _started(instance, {GRPC_INFO_TAG: json.dumps(server)}, process.pid)) == WorkerStatus.RUNNING
    )


def test_a_dead_process_is_not_told_while_its_code_server_may_come_back(
    instance: dg.DagsterInstance, process: BaseProcess
) -> None:
    server = {"host": "127.0.0.1", "port": NOBODY_LISTENS}
    run = _started(instance, {GRPC_INFO_TAG: json.dumps(server)}, process.pid)
    process.kill()  # and not waited for: a zombie is no process
    assert _status(instance, run) == WorkerStatus.RUNNING


def test_a_dead_process_of_a_code_server_that_cannot_come_back_is_dead(
    instance: dg.DagsterInstance, process: BaseProcess, tmp_path: Path
) -> None:
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": str(tmp_path / "gone")})}
    run = _started(instance, tags, process.pid)
    assert _status(instance, run) == WorkerStatus.RUNNING
    process.kill()
    process.join()
    assert _status(instance, run) == WorkerStatus.FAILED


def test_a_run_in_a_process_of_mmfs_is_dead_with_it(instance: dg.DagsterInstance) -> None:
    assert _status(instance, _started(instance, process_tag())) == WorkerStatus.RUNNING
    mine = process_tag()[PROCESS_TAG].rpartition(":")[0]
    assert _status(instance, _started(instance, {PROCESS_TAG: f"{mine}:another-beginning"})) == WorkerStatus.FAILED


def test_a_run_of_somebody_else_is_left_alone(instance: dg.DagsterInstance) -> None:
    assert _status(instance, _started(instance, {})) == WorkerStatus.RUNNING


def test_a_daemon_whose_instance_names_the_launcher_lets_backfills_outlive_a_code_server(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(json.dumps(instance_config(Settings())))
    look = "import dagster, os; dagster.DagsterInstance.get().run_launcher; print(dict(os.environ))"
    environment = {name: value for name, value in os.environ.items() if name not in DAEMON_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=environment | {"DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert DAEMON_VARIABLES.items() <= ast.literal_eval(done.stdout).items()
