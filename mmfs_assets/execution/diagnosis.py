"""What does not fit together here: settings, ``dagster.yaml``, devices. For `mmfs ui`, `materialize` and `doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from mmfs.doctor import Finding
from mmfs.errors import MissingExtraError, MmfsError
from mmfs.settings import Settings
from mmfs_assets.execution.executors import executor_for
from mmfs_assets.execution.home import home_path
from mmfs_assets.execution.instance_config import LAUNCHERS
from mmfs_assets.execution.instance_file import differences
from mmfs_resources import GpuLeaseResource
from mmfs_resources.devices import candidates

_MEND = "`mmfs home`, then start Dagster again"


def misfits(settings: Settings) -> Iterator[Finding]:
    """What needs a hand; nothing where all is well."""
    try:
        executor_for(settings)
        if settings.executor not in LAUNCHERS:
            candidates(settings.device, settings.gpus, required_by=GpuLeaseResource.of(settings).required_by)
    except MissingExtraError as error:
        yield Finding("extra cluster", f"{error.what} ({error.where})", error.mend, failed=True)
    except MmfsError as error:
        yield Finding("executor", f"{error.what} ({error.where})", error.mend, failed=True)
    if settings.executor == "k8s" and not settings.postgres_url:
        yield Finding("history", "pods cannot share a history in SQLite", "set MMFS_POSTGRES_URL", failed=True)
    try:
        for said in differences(home_path(settings), settings):
            yield Finding("dagster.yaml", said, _MEND, failed=True)
    except MmfsError as error:
        yield Finding("DAGSTER_HOME", error.what, error.mend)
