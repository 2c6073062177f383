"""Commands about Dagster's own settings and processes. Importing this module must stay cheap, as for all commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmfs.cli.options import StoreOption

if TYPE_CHECKING:
    from mmfs.doctor import Finding
    from mmfs.settings import Settings


def diagnose(settings: Settings) -> list[Finding]:
    """What `mmfs doctor` says of Dagster besides."""
    from mmfs_assets.execution.diagnosis import misfits

    return list(misfits(settings))


def say_misfits(settings: Settings) -> None:
    """Print what does not fit together here."""
    from mmfs.cli.output import console

    for one in diagnose(settings):
        console.print(f"{one.what}: {one.found}; {one.mend}", style="yellow", markup=False, highlight=False)


def ui(
    port: Annotated[int, typer.Option(help="Port of the web server, on this machine only.")] = 3000,
    store: StoreOption = None,
) -> None:
    """Open the Dagster UI: web server, daemon and code location, on loopback."""
    from mmfs.cli.output import console
    from mmfs_assets.execution.home import dagster_home, open_instance
    from mmfs_assets.execution.pools import set_pool_limits
    from mmfs_assets.recorded import recorded_settings

    settings = recorded_settings(store)
    place = dagster_home(settings)
    url = settings.store if "://" in settings.store else str(Path(settings.store).absolute())
    settings = settings.model_copy(update={"store": url})
    say_misfits(settings)
    with open_instance(settings) as instance:
        set_pool_limits(instance, settings)
    where = f"http://127.0.0.1:{port}  (history: {place}, store: {url}; stop with Ctrl-C)"
    console.print(where, markup=False, highlight=False)
    os.environ |= {"DAGSTER_HOME": str(place), "MMFS_STORE": url}
    os.execv(
        sys.executable,
        [sys.executable, "-m", "dagster", "dev", "-m", "mmfs_assets.definitions", "-h", "127.0.0.1", "-p", str(port)],
    )


def home(
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that was edited by hand.")] = False,
    store: StoreOption = None,
) -> None:
    """Write dagster.yaml for the settings (executor, PostgreSQL, compute logs), and set the limits of pools."""
    from mmfs.cli.output import console
    from mmfs.errors import SettingsError
    from mmfs.settings import load_settings
    from mmfs_assets.execution.home import home_path, open_instance
    from mmfs_assets.execution.instance_file import NAME, write_instance_file
    from mmfs_assets.execution.pools import set_pool_limits

    settings = load_settings(**({"store": store} if store else {}))  # nothing that a store records is said there
    place = home_path(settings)
    place.mkdir(parents=True, exist_ok=True)
    edited = None
    try:
        written = write_instance_file(place, settings, overwrite=overwrite)
        state = "written: start Dagster again where it runs" if written else "is as it should be"
        console.print(f"{place / NAME} {state}", markup=False, highlight=False, soft_wrap=True)
    except SettingsError as error:
        edited = error
    with open_instance(settings) as instance:
        limits = set_pool_limits(instance, settings)
    told = ", ".join(f"{pool} {limit}" for pool, limit in limits.items())
    say_misfits(settings)
    history = "PostgreSQL" if settings.postgres_url else "SQLite"
    console.print(f"executor {settings.executor}, history in {history}, pools: {told}", highlight=False)
    if edited:
        raise edited
