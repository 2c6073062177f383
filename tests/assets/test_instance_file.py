"""dagster.yaml is what the settings ask for, and is kept where somebody edited it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config
from typer.testing import CliRunner

import mmfs_assets
from mmfs.cli.app import app
from mmfs.cli.plugins import plugin_findings
from mmfs.errors import MissingExtraError, SettingsError
from mmfs.settings import K8sConfig, RayConfig, Settings, load_settings
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
    mend = (
        "`mmfs home` wrote it for other settings: `git checkout dagster_home`, and name another DAGSTER_HOME for those"
    )
    assert (REPOSITORY / "dagster_home" / NAME).read_text() == instance_yaml(Settings()), mend


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
    assert passed_on(Settings(ray=RayConfig(environment=("HF_HOME",))), variables) == ["HF_HOME"]


def test_what_differs_from_the_settings_is_named_with_its_setting(home: Path) -> None:
    assert write_instance_file(home, Settings())
    said = differences(home, SETTINGS[-1])
    assert len(said) == 3
    for setting in ("MMFS_EXECUTOR", "MMFS_POSTGRES_URL", "MMFS_COMPUTE_LOGS"):
        assert any(setting in text for text in said)
    write_instance_file(home, Settings(executor="k8s"))
    [text] = differences(home, Settings())
    assert "has run_launcher StoppingK8sRunLauncher, MMFS_EXECUTOR asks for LocalRunLauncher" in text


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (
            Settings(executor="ray"),
            Settings(executor="ray", ray=RayConfig(address="http://new:8265")),
            "run_launcher.config.ray.address http://127.0.0.1:8265, settings ask for http://new:8265",
        ),
        (
            Settings(executor="k8s"),
            Settings(executor="k8s", k8s=K8sConfig(image="registry/mmfs:2")),
            "run_launcher.config.job_image by default, settings ask for registry/mmfs:2",
        ),
        (
            Settings(),
            Settings(executor="gpu_box", gpus=tuple(f"cpu:{number}" for number in range(8))),
            "concurrency.runs.max_concurrent_runs 4, settings ask for 16",
        ),
        (
            Settings(compute_logs="s3://old/logs"),
            Settings(compute_logs="s3://new/logs"),
            "compute_logs.config.bucket old, settings ask for new",
        ),
        (
            Settings(compute_logs="s3://old/logs"),
            Settings(),
            "compute_logs S3ComputeLogManager, MMFS_COMPUTE_LOGS asks for the default",
        ),
    ],
)
def test_a_file_of_other_settings_differs_in_what_they_decide(
    before: Settings, now: Settings, said: str, home: Path
) -> None:
    write_instance_file(home, before)
    [text] = differences(home, now)
    assert text == f"{home / NAME} has {said}"


def test_in_a_file_edited_by_hand_only_what_the_settings_give_our_classes_is_compared(home: Path) -> None:
    settings = Settings.model_validate({**SECRETS, "executor": "ray", "compute_logs": "s3://bucket"})
    config = instance_config(settings)
    config["compute_logs"]["config"]["upload_interval"] = 60
    config["run_launcher"]["config"]["ray"]["metadata"] = {"team": "vision"}
    config["run_retries"]["max_retries"] = 9
    (home / NAME).write_text(json.dumps(config))
    assert differences(home, settings) == []
    config["run_launcher"]["config"]["ray"]["address"] = "http://old:8265"
    (home / NAME).write_text(json.dumps(config))
    [text] = differences(home, settings)
    assert "run_launcher.config.ray.address http://old:8265, settings ask for http://127.0.0.1:8265" in text


def test_a_class_whose_configuration_was_left_empty_by_hand_is_compared_all_the_same(home: Path) -> None:
    (home / NAME).write_text(
        "run_launcher:\n  module: mmfs_assets.execution.ray_launcher\n  class: SettingsRayRunLauncher\n  config:\n"
    )
    address, cpus = differences(home, Settings(executor="ray"))
    assert "run_launcher.config.ray.address by default" in address
    assert "run_launcher.config.ray.num_cpus by default" in cpus


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


@pytest.mark.parametrize(("gpus", "runs"), [(0, 4), (1, 4), (8, 16)])
def test_a_box_whose_gpus_are_not_named_has_runs_for_all_that_torch_sees(
    gpus: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs_assets.execution.instance_config.gpu_count", lambda: gpus)
    settings = Settings(executor="gpu_box")
    assert pool_limits(settings)["gpu"] == max(1, gpus)
    assert instance_config(settings)["concurrency"]["runs"]["max_concurrent_runs"] == runs


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


def test_the_command_sets_the_pools_beside_a_file_edited_by_hand_and_says_that_it_left_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMFS_EXECUTOR", "gpu_box")
    monkeypatch.setenv("MMFS_GPUS", "cpu:0,cpu:1,cpu:2")
    mine = "telemetry: {enabled: false}\nrun_launcher: {module: dagster, class: DefaultRunLauncher}\n"
    (home / NAME).write_text(mine)
    done = CliRunner().invoke(app, ["home"])
    assert isinstance(done.exception, SettingsError)
    assert "it was edited by hand" in str(done.exception)
    assert "pools: gpu 3, index 1" in done.output
    assert (home / NAME).read_text() == mine
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}["gpu"] == 3


def test_a_place_in_brackets_is_printed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "[old]"))
    assert "[old]/dagster.yaml written" in CliRunner().invoke(app, ["home"]).output


def test_without_its_package_a_history_in_postgres_is_refused_before_the_file_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMFS_POSTGRES_URL", "postgresql://me:canary@127.0.0.1:9/history")
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    for command in ("home", "materialize"):
        done = CliRunner().invoke(app, [command])
        assert isinstance(done.exception, MissingExtraError), done.output
        assert "dagster_postgres is not installed [MMFS_POSTGRES_URL]; pip install 'mmfs[cluster]'" in str(
            done.exception
        )
        assert not (home / NAME).exists()
    found = [finding for finding in plugin_findings(load_settings()) if finding.what == "extra cluster"]
    assert [(finding.found, finding.failed) for finding in found] == [
        ("dagster_postgres is not installed (MMFS_POSTGRES_URL)", True)
    ]


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
