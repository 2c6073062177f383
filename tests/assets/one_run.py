"""One run over a range of shards, in a process of its own: ``python -m tests.assets.one_run STORE HOME FIRST LAST``."""

from __future__ import annotations

import sys

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from mmfs.settings import Settings
from mmfs_assets.definitions import definitions_for

ASSETS = ("raw_media", "frames")


def settings_of(url: str) -> Settings:
    """A shard a file."""
    return Settings(store=url, shard_max_files=1, workers=1, device="cpu")


def instance_of(home: str) -> dg.DagsterInstance:
    """Dagster's history in a directory."""
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": quiet}))


def main(url: str, home: str, first: str, last: str) -> int:
    """Run; the exit code."""
    job = definitions_for(settings_of(url)).resolve_implicit_global_asset_job_def()
    with instance_of(home) as instance:
        return not job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in ASSETS],
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            raise_on_error=False,
        ).success


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
