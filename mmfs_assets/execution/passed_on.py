"""Variables that a process on another machine is given, so that it works with the same settings."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmfs.settings import Settings


def passed_on(settings: Settings, environment: Mapping[str, str] | None = None) -> list[str]:
    """Names of the variables: ``MMFS_*`` that are set and no secrets, and what the settings name besides.

    What a job of Ray is given can be read in Ray's dashboard, hence no secret: machines have those of their own.

    Args:
        environment: Variables; default: those of this process.

    >>> passed_on(Settings(), {"MMFS_DEVICE": "cpu", "MMFS_POSTGRES_URL": "postgresql://user:secret@host/db"})
    ['MMFS_DEVICE']
    """
    variables = os.environ if environment is None else environment
    secret = {f"MMFS_{name.upper()}" for name in Settings.secrets()}
    ours = {name for name in variables if name.startswith("MMFS_") or name == "DAGSTER_HOME"} - secret
    return sorted(ours | set(settings.ray.environment))
