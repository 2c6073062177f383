"""How many steps of a pool may work at once. Dagster keeps that in its history, not in ``dagster.yaml``."""

from __future__ import annotations

import dagster as dg

from mmfs.settings import Settings
from mmfs_assets.execution.instance_config import device_steps


def pool_limits(settings: Settings) -> dict[str, int]:
    """Limits by pool: a step of a model asset for each device, one builder of search indexes."""
    return {"gpu": device_steps(settings), "index": 1}


def set_pool_limits(instance: dg.DagsterInstance, settings: Settings) -> dict[str, int]:
    """Give the instance these limits; nothing is written where they hold already."""
    limits = pool_limits(settings)
    has = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    for pool, limit in limits.items():
        if has.get(pool) != limit:
            instance.event_log_storage.set_concurrency_slots(pool, limit)
    return limits
