"""Pods on Kubernetes: what those of runs and steps have in common, and what a model asset asks for besides."""

from __future__ import annotations

from typing import Any

from mmfs.cluster import K8sConfig


def run_pod(config: K8sConfig) -> dict[str, Any]:
    """Configuration of the launcher of runs; steps without a GPU work in these pods."""
    return {
        "job_namespace": config.namespace,
        "service_account_name": config.service_account,
        "instance_config_map": config.instance_config_map,
        "env_secrets": list(config.environment_secrets),
        "env_config_maps": list(config.environment_config_maps),
        "image_pull_secrets": [{"name": name} for name in config.image_pull_secrets],
        "resources": _resources(config.cpus_per_run, config.memory_mb_per_run),
        **({"job_image": config.image} if config.image else {}),
    }


def step_pod(config: K8sConfig) -> dict[str, Any]:
    """Configuration of the executor: pods of steps that work in pods of their own."""
    resources = _resources(config.cpus_per_step, config.memory_mb_per_step)
    return {"resources": resources, **({"job_image": config.image} if config.image else {})}


def gpu_pod(config: K8sConfig) -> dict[str, Any]:
    """The tag ``dagster-k8s/config`` of a model asset: GPUs, and nodes that have such."""
    pod: dict[str, Any] = {"tolerations": [_toleration(taint) for taint in config.gpu_tolerations]}
    if config.gpu_node_labels:
        pod["node_selector"] = dict(label.split("=", 1) for label in config.gpu_node_labels)
    resources = _resources(config.cpus_per_step, config.memory_mb_per_step)
    resources["limits"][config.gpu_resource] = str(config.gpus_per_step)
    return {"container_config": {"resources": resources}, "pod_spec_config": pod}


def _resources(cpus: float, memory_mb: int) -> dict[str, dict[str, str]]:
    memory = f"{memory_mb}Mi"
    return {"requests": {"cpu": f"{cpus:g}", "memory": memory}, "limits": {"memory": memory}}


def _toleration(taint: str) -> dict[str, str]:
    """One taint as Kubernetes spells its toleration.

    >>> _toleration("pool=gpu:NoExecute")
    {'key': 'pool', 'effect': 'NoExecute', 'operator': 'Equal', 'value': 'gpu'}
    """
    key, _, effect = taint.rpartition(":")
    name, equals, value = key.partition("=")
    return {
        "key": name,
        "effect": effect,
        **({"operator": "Equal", "value": value} if equals else {"operator": "Exists"}),
    }
