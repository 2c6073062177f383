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
