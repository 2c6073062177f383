"""Where Dagster keeps its history, for the commands of this package."""

import os
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from mmfs.errors import SettingsError
from mmfs.settings import Settings

_CONFIG = Path(__file__).with_name("dagster.yaml")
#: What a run in this process prints belongs to the terminal, not to a file beside the run.
_TERMINAL = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def dagster_home(settings: Settings) -> Path:
    """The directory: ``DAGSTER_HOME``, else ``./dagster_home`` where there is one, else ``<store>/dagster_home``.

    It gets the default ``dagster.yaml`` if it has none.

    Raises:
        SettingsError: The store is no directory, so that there is no default.
    """
    named = os.environ.get("DAGSTER_HOME")
    here = Path("dagster_home")
    if named:
        home = Path(named).expanduser()
    elif here.is_dir():
        home = here
    elif "://" in settings.store:
        raise SettingsError(
            "a store in a bucket has no place for Dagster's history",
            where="DAGSTER_HOME",
            mend="set DAGSTER_HOME to a directory",
        )
    else:
        home = Path(settings.store) / "dagster_home"
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_bytes(_CONFIG.read_bytes())
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of `dagster_home`, for runs in this process: they show in a UI that is started on it later."""
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(dagster_home(settings)), overrides=_TERMINAL))
