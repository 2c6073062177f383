"""How many steps of a pool may work at once. Dagster keeps that in its history, not in ``dagster.yaml``."""

from __future__ import annotations

import dagster as dg

from mmfs.features.device import gpu_count
from mmfs.settings import Settings
from mmfs_assets.execution.instance_config import LAUNCHERS, gpu_steps


def pool_limits(settings: Settings) -> dict[str, int]:
    """Limits by pool: a step of a model asset for each device, one builder of search indexes."""
    if settings.executor in LAUNCHERS:
        devices = gpu_steps(settings)
    else:
        devices = len(settings.gpus) or (gpu_count() if settings.executor == "gpu_box" else 1)
    return {"gpu": max(1, devices), "index": 1}


def set_pool_limits(instance: dg.DagsterInstance, settings: Settings) -> dict[str, int]:
    """Give the instance these limits; nothing is written where they hold already."""
    limits = pool_limits(settings)
    has = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    for pool, limit in limits.items():
        if has.get(pool) != limit:
            instance.event_log_storage.set_concurrency_slots(pool, limit)
    return limits
