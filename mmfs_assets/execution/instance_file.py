"""``dagster.yaml`` in ``DAGSTER_HOME``: written from the settings, and compared with them."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from mmfs.errors import SettingsError
from mmfs.ids import digest
from mmfs.settings import Settings
from mmfs_assets.execution.instance_config import LAUNCHERS, LOCAL, Config, instance_config

NAME = "dagster.yaml"
_HEAD = "# Settings of the Dagster instance, as `mmfs home` writes them ({}). What is edited by hand stays.\n"
_COMMENTS = {
    "concurrency": "Steps of a pool wait for one another, whatever run they belong to: `gpu` holds the model assets, "
    "`index` the builders of search spaces. How many of `gpu` may run at once is kept in the history: `mmfs home` says "
    "and sets it.",
    "run_monitoring": "A run whose process died is seen, its pool slots are freed, and it is tried again. A run that "
    "failed on bad shards is not: it would fail the same way, and the next `mmfs materialize --missing` takes up what "
    "is left.",
    "storage": "The variable must be set wherever Dagster runs.",
}
_SETTINGS = {
    "run_launcher": "MMFS_EXECUTOR",
    "storage": "MMFS_POSTGRES_URL",
    "compute_logs": "MMFS_COMPUTE_LOGS",
}


def instance_yaml(settings: Settings) -> str:
    """The file's text. Where nothing but SQLite is asked for, the history lies beside it, with nothing to install."""
    sections = []
    for name, value in instance_config(settings).items():
        said = (
            textwrap.fill(_COMMENTS[name], 119, initial_indent="# ", subsequent_indent="# ")
            if name in _COMMENTS
            else ""
        )
        text = yaml.safe_dump({name: value}, sort_keys=False, width=118, indent=2)
        sections.append(f"{said}\n{text}" if said else text)
    body = "\n".join(sections)
    return _HEAD.format(digest(body)[:12]) + "\n" + body


def write_instance_file(home: Path, settings: Settings, *, overwrite: bool = False) -> bool:
    """Write the file; False where it says the same already.

    Args:
        overwrite: Whether a file that was edited by hand may go.

    Raises:
        SettingsError: It was edited by hand.
    """
    path, text = home / NAME, instance_yaml(settings)
    if path.exists():
        if path.read_text() == text:
            return False
        if not overwrite and edited_by_hand(path.read_text()):
            raise SettingsError("it was edited by hand", where=str(path), mend="keep it, or `mmfs home --overwrite`")
    path.write_text(text)
    return True


def edited_by_hand(text: str) -> bool:
    """Whether a file is not as `mmfs home` would have left it, for whatever settings."""
    head, _, body = text.partition("\n\n")
    return head + "\n" != _HEAD.format(digest(body)[:12])


def differences(home: Path, settings: Settings) -> list[str]:
    """Where the file at hand does not do what the settings ask for, in words; what else was put in is no matter."""
    path = home / NAME
    found: Config = (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    wanted = instance_config(settings)
    said = []
    for section, setting in _SETTINGS.items():
        has, wants = _essence(section, found.get(section)), _essence(section, wanted.get(section))
        if has != wants and (wants or section == "storage") and (has in _OURS or wants != LOCAL[1]):
            said.append(f"{path} has {section} {has or 'by default'}, {setting} asks for {wants or 'the default'}")
    return said


#: Launchers that go with an executor, and Dagster's own, which does not see every death; others are somebody's choice.
_OURS = {None, "DefaultRunLauncher", *(name for _, name in LAUNCHERS.values())}


def _essence(section: str, config: Any) -> str | None:
    """What a section comes down to; None where there is none."""
    if not config:
        return None
    if section == "storage":
        return str(next(iter(config)))
    place = config.get("config", {})
    bucket = f" s3://{place['bucket']}/{place.get('prefix', '')}" if "bucket" in place else ""
    return f"{config['class']}{bucket}"
