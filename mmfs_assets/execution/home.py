"""Where Dagster keeps its history, for the commands of this package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.execution.history_errors import history_errors
from mmfs_assets.execution.installed import check_installed
from mmfs_assets.execution.instance_file import NAME, write_instance_file

#: What a run in this process prints belongs to the terminal, not to a file beside the run; and it needs no launcher,
#: which may want a cluster that this process does not reach.
_HERE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
    "run_launcher": {"module": "dagster", "class": "DefaultRunLauncher"},
    "run_monitoring": {"enabled": False},
}


def home_path(settings: Settings) -> Path:
    """The directory: ``DAGSTER_HOME``, else ``./dagster_home`` where there is one, else ``<store>/dagster_home``.

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
    return home.absolute()


def dagster_home(settings: Settings) -> Path:
    """The directory of `home_path`, made where it is missing, with a ``dagster.yaml`` for these settings.

    Raises:
        SettingsError: The store is no directory, so that there is no default.
    """
    home = home_path(settings)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / NAME).exists():
        write_instance_file(home, settings)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of `dagster_home`, for runs in this process: they show in a UI that is started on it later.

    Raises:
        HistoryError: Its databases cannot be read or written, now or while it is used.
        MissingExtraError: What reaches them is not installed.
    """
    check_installed(settings)
    home = dagster_home(settings)
    with (
        history_errors(settings, home),
        dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_HERE)) as instance,
    ):
        yield instance
