"""Packages of the extra ``cluster`` that some settings need."""

from collections.abc import Iterator
from importlib.util import find_spec

from mmfs.errors import MissingExtraError
from mmfs.settings import Settings

_OF_EXECUTORS = {"ray": "dagster_ray", "k8s": "dagster_k8s"}


def check_installed(settings: Settings) -> None:
    """Look for what Dagster will import, before it is asked to.

    Raises:
        MissingExtraError: Something is not installed.
    """
    for setting, module in _needed(settings):
        if find_spec(module) is None:
            raise MissingExtraError(
                f"{module} is not installed", where=setting, mend="pip install 'mmfs[cluster]', or unset this setting"
            )


def _needed(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.executor in _OF_EXECUTORS:
        yield f"MMFS_EXECUTOR={settings.executor}", _OF_EXECUTORS[settings.executor]
    if settings.postgres_url:
        yield "MMFS_POSTGRES_URL", "dagster_postgres"
