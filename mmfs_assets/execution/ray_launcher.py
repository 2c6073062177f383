"""Runs as jobs of Ray that see the settings of the daemon that sends them."""

from typing import Any

from dagster_ray import RayRunLauncher

from mmfs.settings import load_settings
from mmfs_assets.execution.passed_on import passed_on


class SettingsRayRunLauncher(RayRunLauncher):
    """dagster-ray's launcher, which hands over what is set when it starts. `mmfs home` names it in ``dagster.yaml``."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.env_vars = [*(self.env_vars or []), *passed_on(load_settings())]

    def terminate(self, run_id: str) -> bool:
        """End a run and its model steps, which are jobs of their own.

        The run would let them work on: where runs can be resumed, Dagster takes every end for one that will be.
        """
        ended = super().terminate(run_id)
        for job in self.client.list_jobs():
            if (
                (job.metadata or {}).get("dagster/run-id") == run_id
                and job.submission_id
                and not job.status.is_terminal()
            ):
                self.client.stop_job(job.submission_id)
        return ended
