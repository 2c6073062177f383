"""Where the steps of a run work, by the one setting ``MMFS_EXECUTOR``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.execution.installed import check_installed
from mmfs_assets.execution.mixed_steps import mixed
from mmfs_assets.execution.passed_on import passed_on
from mmfs_assets.execution.pod_config import gpu_pod, step_pod
from mmfs_assets.execution.waiting import in_process_executor


def executor_for(settings: Settings) -> dg.ExecutorDefinition:
    """How steps are executed.

    ``local`` and ``gpu_box``: in the process of their run, so that a model is loaded once for all shards of the run.
    ``ray`` and ``k8s``: steps of model assets as jobs or pods of their own, which take seconds to start and load their
    model once for all shards of the run; the others beside the run, which is such a job or pod itself.

    Raises:
        SettingsError: Steps elsewhere would look for the store in another place.
        MissingExtraError: What sends steps elsewhere, or keeps the history there, is not installed.
    """
    check_installed(settings)
    if settings.executor in ("local", "gpu_box"):
        return in_process_executor
    _check_store(settings)
    return _ray(settings) if settings.executor == "ray" else _k8s(settings)


def step_tags(settings: Settings, *, gpu: bool) -> Mapping[str, Any]:
    """Tags of an asset's step that say what it needs, besides what all steps get."""
    if not gpu:
        return {}
    if settings.executor == "ray":
        return {"dagster-ray/config": {"num_gpus": settings.ray.gpus_per_step}}
    return {"dagster-k8s/config": gpu_pod(settings.k8s)} if settings.executor == "k8s" else {}


def retry_policy(settings: Settings) -> dg.RetryPolicy | None:
    """A step whose job or pod was killed is tried again; one that found bad shards is not (`per_shard`).

    In the process of a run there is no such step: the whole run dies, and the daemon tries it again.
    """
    return dg.RetryPolicy(max_retries=2, delay=5) if settings.executor in ("ray", "k8s") else None


def _ray(settings: Settings) -> dg.ExecutorDefinition:
    from dagster_ray import ray_executor

    ray = settings.ray
    config = {"address": ray.address, "num_cpus": ray.cpus_per_step, "env_vars": passed_on(settings)}
    return mixed(ray_executor, at_once=_beside(ray.cpus_per_run)).configured({"ray": config}, name="ray")


def _k8s(settings: Settings) -> dg.ExecutorDefinition:
    from dagster_k8s import k8s_job_executor

    executor = mixed(k8s_job_executor, at_once=_beside(settings.k8s.cpus_per_run))
    return executor.configured(step_pod(settings.k8s), name="k8s")


def _beside(cpus: float) -> int:
    return max(1, int(cpus))


def _check_store(settings: Settings) -> None:
    if "://" not in settings.store and not Path(settings.store).expanduser().is_absolute():
        raise SettingsError(
            f"{settings.store!r} would be another place on each machine",
            where="MMFS_STORE",
            mend=f"name a whole path that all machines see, or a bucket, for MMFS_EXECUTOR={settings.executor}",
        )
