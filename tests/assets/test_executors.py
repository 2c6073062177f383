"""One setting says where steps work."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mmfs.errors import MissingExtraError, SettingsError
from mmfs.settings import K8sConfig, RayConfig, Settings
from mmfs_assets.definitions import definitions_for
from mmfs_assets.execution.executors import executor_for, retry_policy, step_tags
from mmfs_assets.execution.waiting import in_process_executor


@pytest.mark.parametrize("name", ["local", "gpu_box"])
def test_on_one_machine_steps_work_in_the_process_of_their_run(name: Any) -> None:
    settings = Settings(executor=name)
    assert executor_for(settings) is in_process_executor
    assert retry_policy(settings) is None
    assert step_tags(settings, gpu=True) == {}


def test_on_ray_steps_of_model_assets_ask_for_gpus_and_others_do_not() -> None:
    settings = Settings(store="s3://bucket/store", executor="ray", ray=RayConfig(gpus_per_step=0.5))
    job = definitions_for(settings).resolve_implicit_global_asset_job_def()
    assert job.executor_def.name == "ray"
    gpus = {node.name: node.definition.tags.get("dagster-ray/config") for node in job.nodes}
    assert gpus["depth_maps"] == gpus["clip_embeddings"] == '{"num_gpus": 0.5}'
    assert gpus["frames"] is gpus["qdrant_index"] is None


@pytest.mark.parametrize("name", ["ray", "k8s"])
def test_a_store_that_every_machine_would_look_for_elsewhere_is_refused(name: Any) -> None:
    with pytest.raises(SettingsError, match=r"'data/store' would be another place on each machine \[MMFS_STORE\]"):
        executor_for(Settings(store="data/store", executor=name))


@pytest.mark.parametrize(("name", "module"), [("ray", "dagster_ray"), ("k8s", "dagster_k8s")])
def test_what_is_not_installed_is_said_with_the_extra(name: Any, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=rf"{module} is not installed \[MMFS_EXECUTOR={name}\].*mmfs\[cluster\]"
    ):
        executor_for(Settings(store="/store", executor=name))


@pytest.mark.parametrize("text", ["gpu", "gpu=", "nvidia.com/gpu:Never", ":NoSchedule"])
def test_a_taint_that_kubernetes_would_not_understand_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not key:effect"):
        K8sConfig(gpu_tolerations=(text,))
