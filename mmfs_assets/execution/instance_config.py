"""What ``dagster.yaml`` says for these settings: Dagster demands that file, and it cannot branch."""

from __future__ import annotations

import math
from typing import Any

from mmfs.features.device import gpu_count
from mmfs.settings import Settings
from mmfs_assets.execution.pod_config import run_pod

Config = dict[str, Any]

#: Launcher of runs on a cluster, by executor.
LAUNCHERS = {
    "ray": ("mmfs_assets.execution.ray_launcher", "SettingsRayRunLauncher"),
    "k8s": ("mmfs_assets.execution.k8s_launcher", "StoppingK8sRunLauncher"),
}
#: Of the other executors: a process of the code server.
LOCAL = ("mmfs_assets.execution.run_launcher", "LocalRunLauncher")


def instance_config(settings: Settings) -> Config:
    """The whole configuration of a Dagster instance.

    No secret is in it: what is secret is named by its variable, and read where it is needed.
    """
    remote = settings.executor in LAUNCHERS
    found: Config = {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "concurrency": {
            # Twice as many as devices, so that the next frames are decoded while models work.
            "runs": {"max_concurrent_runs": max(4, 2 * device_steps(settings))},
            "pools": {"default_limit": 1, "granularity": "op"},
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 300 if not remote else 900,
            "poll_interval_seconds": 30,
            "free_slots_after_run_end_seconds": 60,
            # The steps of a lost run go on where they are: a new process takes over their supervision.
            **({"max_resume_run_attempts": 3} if remote else {}),
        },
        # Only of runs whose process died: each goes on where the last one was, and none begins what failed by itself.
        "run_retries": {"enabled": True, "max_retries": 5, "retry_on_asset_or_op_failure": False},
    }
    if settings.postgres_url:
        found["storage"] = {"postgres": {"postgres_url": {"env": "MMFS_POSTGRES_URL"}}}
    if settings.compute_logs:
        found["compute_logs"] = _compute_logs(settings.compute_logs)
    found["run_launcher"] = _run_launcher(settings)
    return found


def device_steps(settings: Settings) -> int:
    """Steps of model assets that there are devices for at once: on the cluster by its settings, or here."""
    if settings.executor in LAUNCHERS:
        cluster = settings.ray if settings.executor == "ray" else settings.k8s
        return max(1, math.floor(cluster.gpus / cluster.gpus_per_step))
    return max(1, len(settings.gpus) or (gpu_count() if settings.executor == "gpu_box" else 1))


def _compute_logs(place: str) -> Config:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    config: Config = {"bucket": bucket, "prefix": prefix.strip("/") or "compute-logs"}
    return {
        "module": "dagster_aws.s3.compute_log_manager",
        "class": "S3ComputeLogManager",
        "config": {**config, "skip_empty_files": True, "upload_interval": 30},
    }


def _run_launcher(settings: Settings) -> Config:
    module, name = LAUNCHERS.get(settings.executor, LOCAL)
    config: Config = {}
    if settings.executor == "ray":
        config = {"ray": {"address": settings.ray.address, "num_cpus": settings.ray.cpus_per_run}}
    elif settings.executor == "k8s":
        config = run_pod(settings.k8s)
    return {"module": module, "class": name, **({"config": config} if config else {})}
