"""The pods that dagster_k8s has Kubernetes start, as its client sends them to a server here. Nothing runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import kubernetes
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.context.system import PlanData, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import create_context_creation_data, create_executor
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandlerContext
from dagster._core.launcher import LaunchRunContext
from dagster._core.log_manager import DagsterLogManager
from dagster._grpc.types import ExecuteStepArgs

from mmfs.settings import load_settings
from mmfs_assets.execution.instance_config import instance_config
from mmfs_assets.partitions import add_missing_shards

SETTINGS = {
    "MMFS_EXECUTOR": "k8s",
    "MMFS_K8S__IMAGE": "registry/mmfs:1",
    "MMFS_K8S__NAMESPACE": "features",
    "MMFS_K8S__SERVICE_ACCOUNT": "dagster",
    "MMFS_K8S__ENVIRONMENT_SECRETS": "mmfs-secrets",
    "MMFS_K8S__ENVIRONMENT_CONFIG_MAPS": "mmfs-settings",
    "MMFS_K8S__IMAGE_PULL_SECRETS": "registry",
    "MMFS_K8S__GPUS_PER_STEP": "2",
    "MMFS_K8S__GPU_NODE_LABELS": "pool=gpu,zone=a",
    "MMFS_K8S__GPU_TOLERATIONS": "nvidia.com/gpu:NoSchedule,pool=gpu:NoExecute",
    "MMFS_QDRANT_API_KEY": "canary-1",
    "MMFS_WEBHOOK_URL": "http://127.0.0.1/canary-2",
}
Pod = dict[str, Any]


class _Cluster(ThreadingHTTPServer):
    """Takes jobs and answers with them, as the API server of a cluster does first."""

    jobs: list[tuple[str, dict[str, Any]]]
    deleted: list[str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.jobs = []
        self.deleted = []

    def labelled(self, selector: str) -> list[dict[str, Any]]:
        """Jobs that have this label and are still there."""
        name, _, value = selector.partition("=")
        metadata = [job["metadata"] for _, job in self.jobs]
        return [
            {"metadata": one}
            for one in metadata
            if one["labels"].get(name) == value and one["name"] not in self.deleted
        ]


class _Answer(BaseHTTPRequestHandler):
    server: _Cluster

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.jobs.append((self.path, json.loads(body)))
        self._answer(201, body)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        [selector] = parse_qs(place.query)["labelSelector"]
        items = self.server.labelled(selector) if place.path.endswith("/jobs") else []
        self._answer(200, json.dumps({"items": items}).encode())

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path.rpartition("/")[2])
        self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Cluster]:
    with _Cluster() as server:
        here = kubernetes.client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        # In a pod, the client finds its cluster by files that are mounted into it.
        monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
        monkeypatch.setattr(kubernetes.client.Configuration, "_default", here)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name, value in {**SETTINGS, "MMFS_STORE": str(tmp_path / "store"), "DAGSTER_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    # JSON is YAML; the history is in SQLite here, where pods would share PostgreSQL.
    (tmp_path / "dagster.yaml").write_text(json.dumps(instance_config(load_settings())))
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        add_missing_shards(found, ["000000"])
        yield found


def _pods(cluster: _Cluster, instance: dg.DagsterInstance, asset: str) -> list[Pod]:
    """The pods of a run of one model asset, and of its step."""
    repository = ReconstructableRepository.for_module("mmfs_assets.definitions", "defs")
    job = repository.get_reconstructable_job("__ASSET_JOB").get_subset(asset_selection={dg.AssetKey(asset)})
    tags = {"dagster/partition": "000000"}
    plan = create_execution_plan(job, tags=tags)
    run = instance.create_run_for_job(
        job.get_definition(), execution_plan=plan, tags=tags, job_code_origin=job.get_python_origin()
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    executor = create_executor(create_context_creation_data(job, plan, {}, run, instance))
    assert isinstance(executor, StepDelegatingExecutor)
    data = PlanData(job, run, instance, plan, raise_on_error=True, retry_mode=RetryMode.DISABLED)
    context = PlanOrchestrationContext(data, DagsterLogManager.create([], dagster_run=run), executor, None)
    step = ExecuteStepArgs(job.get_python_origin(), run.run_id, [asset], instance.get_ref())
    list(executor._step_handler.launch_step(StepHandlerContext(instance, context, list(plan.steps), step)))
    assert {path for path, _ in cluster.jobs} == {"/apis/batch/v1/namespaces/features/jobs"}
    return [job["spec"]["template"]["spec"] for _, job in cluster.jobs]


def test_pods_of_model_assets_ask_for_gpus_on_nodes_that_have_them(
    cluster: _Cluster, instance: dg.DagsterInstance
) -> None:
    run, step = _pods(cluster, instance, "depth_maps")
    [container] = step["containers"]
    assert container["resources"]["limits"] == {"memory": "16384Mi", "nvidia.com/gpu": "2"}
    assert step["nodeSelector"] == {"pool": "gpu", "zone": "a"}
    assert step["tolerations"] == [
        {"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"},
        {"effect": "NoExecute", "key": "pool", "operator": "Equal", "value": "gpu"},
    ]
    assert container["args"][-2:] == ["api", "execute_step"]
    # No GPU stands idle for the run, whose other steps work in its own pod.
    assert "nvidia.com/gpu" not in json.dumps(run)
    assert not {"nodeSelector", "tolerations"} & set(run)
    assert run["containers"][0]["resources"]["requests"] == {"cpu": "2", "memory": "8192Mi"}


def test_all_pods_have_image_account_and_settings_and_secrets_are_only_named(
    cluster: _Cluster, instance: dg.DagsterInstance
) -> None:
    for pod in _pods(cluster, instance, "clip_embeddings"):
        [container] = pod["containers"]
        assert container["image"] == "registry/mmfs:1"
        assert pod["serviceAccountName"] == "dagster"
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert {"secretRef": {"name": "mmfs-secrets"}} in container["envFrom"]
        assert {"configMapRef": {"name": "mmfs-settings"}} in container["envFrom"]
    assert "canary" not in json.dumps(cluster.jobs)


def test_ending_a_run_ends_its_steps(cluster: _Cluster, instance: dg.DagsterInstance) -> None:
    _pods(cluster, instance, "depth_maps")
    _pods(cluster, instance, "clip_embeddings")
    [ours, another] = instance.get_run_ids()
    jobs = {job["metadata"]["name"]: job["metadata"]["labels"]["dagster/run-id"] for _, job in cluster.jobs}
    assert sorted(jobs.values()) == sorted([ours, ours, another, another])
    assert instance.run_launcher.terminate(ours)
    assert {jobs[name] for name in cluster.deleted} == {ours}
    assert len(set(cluster.deleted)) == 2
