"""Where Dagster's history lies, and what becomes of runs whose process died."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.execution.home import dagster_home
from mmfs_assets.planning.orphans import PROCESS_TAG, end_orphans, process_tag


def test_the_variable_wins_then_the_folder_at_hand_then_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = Settings(store=str(tmp_path / "store"))
    assert dagster_home(settings) == tmp_path / "store" / "dagster_home"
    (tmp_path / "dagster_home").mkdir()
    assert dagster_home(settings) == tmp_path / "dagster_home"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "named"))
    assert dagster_home(settings) == tmp_path / "named"
    assert "enabled: false" in (tmp_path / "named" / "dagster.yaml").read_text()


def test_history_inside_a_store_is_no_table_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    store = Store.open(settings=Settings(store=str(tmp_path / "store")))
    before = store.tables.names()
    assert dagster_home(store.settings).parent == tmp_path / "store"
    assert store.tables.names() == before


def test_a_store_in_a_bucket_needs_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        dagster_home(Settings(store="s3://bucket/store"))


def _started_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    job = dg.GraphDefinition(name="empty").to_job()
    return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id


class _JustEnded:
    """An instance in which a run ends well, and its process after it, once the unfinished ones were named."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._instance, self._run_id = instance, run_id

    def get_runs(self, filters: dg.RunsFilter) -> list[dg.DagsterRun]:
        found = list(self._instance.get_runs(filters))
        run = self._instance.get_run_by_id(self._run_id)
        assert run is not None
        self._instance.report_dagster_event(DagsterEvent("PIPELINE_SUCCESS", run.job_name), run.run_id)
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._instance, name)


def test_a_run_that_ended_well_while_one_looked_stays_so() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = _started_run(instance, {PROCESS_TAG: f"{socket.gethostname()}:{gone.pid}:1"})
        assert end_orphans(_JustEnded(instance, run_id)) == []  # type: ignore[arg-type]
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.SUCCESS


def test_runs_of_dead_processes_are_ended_and_those_of_living_ones_are_not() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        dead = _started_run(instance, {PROCESS_TAG: f"{socket.gethostname()}:{gone.pid}:1"})
        alive = _started_run(instance, process_tag())
        elsewhere = _started_run(instance, {PROCESS_TAG: f"another-host:{gone.pid}:1"})
        assert end_orphans(instance) == [dead]
        states = {run.run_id: run.status for run in instance.get_runs()}
    assert states[dead] == dg.DagsterRunStatus.FAILURE
    assert dg.DagsterRunStatus.FAILURE not in (states[alive], states[elsewhere])
