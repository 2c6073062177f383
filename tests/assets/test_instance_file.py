"""dagster.yaml is what the settings ask for, and is kept where somebody edited it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config
from typer.testing import CliRunner

import mmfs_assets
from mmfs.cli.app import app
from mmfs.cli.plugins import plugin_findings
from mmfs.errors import SettingsError
from mmfs.settings import RayConfig, Settings, load_settings
from mmfs_assets.execution.instance_config import instance_config
from mmfs_assets.execution.instance_file import NAME, differences, edited_by_hand, instance_yaml, write_instance_file
from mmfs_assets.execution.passed_on import passed_on
from mmfs_assets.execution.pools import pool_limits

REPOSITORY = Path(mmfs_assets.__file__).parent.parent
SECRETS = {
    "postgres_url": "postgresql://me:canary-1@host/db",
    "webhook_url": "http://host/canary-2",
    "qdrant_api_key": "canary-3",
    "dagster_url": "http://me:canary-4@host",
}
SETTINGS = [
    Settings(),
    Settings(executor="gpu_box", gpus=("cpu:0", "cpu:1")),
    Settings(executor="ray", ray=RayConfig(gpus=16)),
    Settings(executor="k8s"),
    Settings.model_validate({**SECRETS, "compute_logs": "s3://bucket/logs/dagster", "executor": "ray"}),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MMFS_STORE", str(tmp_path / "store"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_file_of_the_repository_is_the_one_for_the_defaults() -> None:
    assert (REPOSITORY / "dagster_home" / NAME).read_text() == instance_yaml(Settings())


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.executor)
def test_dagster_accepts_the_file_and_finds_in_it_what_was_composed(settings: Settings, home: Path) -> None:
    assert write_instance_file(home, settings)
    found, _ = dagster_instance_config(str(home))
    wanted = instance_config(settings)
    assert {name: found[name] for name in wanted if name != "run_retries"} == {
        name: value for name, value in wanted.items() if name != "run_retries"
    }
    assert not differences(home, settings)
    assert not write_instance_file(home, settings)


def test_no_secret_is_written_or_handed_on(home: Path) -> None:
    write_instance_file(home, SETTINGS[-1])
    assert "canary" not in (home / NAME).read_text()
    assert "env: MMFS_POSTGRES_URL" in (home / NAME).read_text()
    variables = {f"MMFS_{name.upper()}": value for name, value in SECRETS.items()}
    assert passed_on(Settings(), {**variables, "MMFS_CLIP__MODEL": "x", "HOME": "/root"}) == ["MMFS_CLIP__MODEL"]
    named = Settings(ray=RayConfig(environment=("HF_HOME", "MMFS_WEBHOOK_URL")))
    assert passed_on(named, variables) == ["HF_HOME"]


def test_what_differs_from_the_settings_is_named_with_its_setting(home: Path) -> None:
    assert write_instance_file(home, Settings())
    said = differences(home, SETTINGS[-1])
    assert len(said) == 3
    for setting in ("MMFS_EXECUTOR", "MMFS_POSTGRES_URL", "MMFS_COMPUTE_LOGS"):
        assert any(setting in text for text in said)
    write_instance_file(home, Settings(executor="k8s"))
    [text] = differences(home, Settings())
    assert "has run_launcher K8sRunLauncher, MMFS_EXECUTOR asks for LocalRunLauncher" in text


def test_what_was_put_in_by_hand_stays_and_is_no_difference(home: Path) -> None:
    write_instance_file(home, Settings())
    ours = (home / NAME).read_text()
    assert not edited_by_hand(ours)
    mine = ours + "run_launcher: {module: my_lab, class: MyLauncher}\n"
    (home / NAME).write_text(mine)
    assert not differences(home, Settings())
    with pytest.raises(SettingsError, match=r"edited by hand.*mmfs home --overwrite"):
        write_instance_file(home, Settings())
    assert (home / NAME).read_text() == mine
    assert write_instance_file(home, Settings(), overwrite=True)
    assert (home / NAME).read_text() == ours


def test_pools_have_a_slot_for_each_device() -> None:
    assert pool_limits(Settings()) == {"gpu": 1, "index": 1}
    assert pool_limits(Settings(executor="gpu_box", gpus=("cpu:0", "cpu:1", "cpu:2")))["gpu"] == 3
    assert pool_limits(Settings(executor="ray", ray=RayConfig(gpus=4, gpus_per_step=0.5)))["gpu"] == 8
    assert pool_limits(Settings(executor="ray", ray=RayConfig(gpus=3, gpus_per_step=2)))["gpu"] == 1


def test_the_command_writes_the_file_sets_the_pools_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_EXECUTOR", "gpu_box")
    monkeypatch.setenv("MMFS_GPUS", "cpu:0,cpu:1")
    first = CliRunner().invoke(app, ["home"])
    assert first.exit_code == 0, first.output
    assert "written" in first.output
    assert "executor gpu_box, history in SQLite, pools: gpu 2, index 1" in first.output
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == {
            "gpu": 2,
            "index": 1,
        }
    assert "is as it should be" in CliRunner().invoke(app, ["home"]).output


def test_materialize_and_doctor_say_that_the_file_does_not_go_with_the_executor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_instance_file(home, Settings())
    monkeypatch.setenv("MMFS_EXECUTOR", "ray")
    said = " ".join(CliRunner().invoke(app, ["materialize"]).output.split())
    assert "MMFS_EXECUTOR asks for SettingsRayRunLauncher; `mmfs home`" in said
    [finding] = plugin_findings(load_settings())
    assert finding.failed
    assert "MMFS_EXECUTOR asks for SettingsRayRunLauncher" in finding.found
