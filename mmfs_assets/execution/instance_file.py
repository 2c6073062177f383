"""``dagster.yaml`` in ``DAGSTER_HOME``: written from the settings, and compared with them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from mmfs.errors import SettingsError
from mmfs.ids import digest
from mmfs.settings import Settings
from mmfs_assets.execution.installed import check_installed
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
        MissingExtraError: Dagster could not read it here, since what it names is not installed.
    """
    check_installed(settings)
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
    """Where the file at hand does not do what the settings ask for, in words.

    A file as `mmfs home` left it should be the one of these settings. In another, what was put in by hand is no matter.
    """
    path = home / NAME
    text = path.read_text() if path.exists() else ""
    found: Config = yaml.safe_load(text) or {}
    wanted = instance_config(settings)
    by_hand = edited_by_hand(text)
    kinds = {section: (_kind(found.get(section)), _kind(wanted.get(section))) for section in _SETTINGS}
    said = [
        f"{path} has {section} {has or 'by default'}, {_SETTINGS[section]} asks for {wants or 'the default'}"
        for section, (has, wants) in kinds.items()
        if has != wants and not (by_hand and _is_a_choice(section, has, wants))
    ]
    if said:  # the rest follows from it
        return said
    if by_hand:
        alike = [section for section, (has, wants) in kinds.items() if has == wants and has]
        found, wanted = _given(found, alike), _given(wanted, alike)
    has_leaves, wanted_leaves = _leaves(found), _leaves(wanted)
    for place in wanted_leaves if by_hand else {**wanted_leaves, **has_leaves}:
        has, wants = has_leaves.get(place), wanted_leaves.get(place)
        if has != wants:
            said.append(
                f"{path} has {place} {_shown(has, 'by default')}, settings ask for {_shown(wants, 'the default')}"
            )
    return said


#: Launchers that go with an executor, and Dagster's own, which does not see every death; others are somebody's choice.
_OURS = {None, "DefaultRunLauncher", *(name for _, name in LAUNCHERS.values())}
#: Configured, but by no setting.
_FIXED = {"skip_empty_files", "upload_interval"}


def _kind(section: Any) -> str | None:
    """What a section comes down to, its class or the first thing in it; None where there is none."""
    if not isinstance(section, Mapping) or not section:
        return None
    return str(section.get("class") or next(iter(section)))


def _is_a_choice(section: str, has: str | None, wants: str | None) -> bool:
    """Whether what a file has in the place of what is wanted may have been put there for a reason."""
    if section == "run_launcher":
        return has not in _OURS and wants == LOCAL[1]
    return section == "compute_logs" and not wants


def _given(config: Config, sections: Iterable[str]) -> Config:
    """What settings give the classes of these sections."""
    given: Config = {}
    for section in sections:
        values = (config.get(section) or {}).get("config") or {}
        given[section] = {"config": {name: value for name, value in values.items() if name not in _FIXED}}
    return given


def _leaves(value: Any, place: str = "") -> Config:
    """Values by their places.

    >>> _leaves({"runs": {"limit": 4}, "names": ["a"]})
    {'runs.limit': 4, 'names': ['a']}
    """
    if not isinstance(value, Mapping):
        return {place: value}
    prefix = f"{place}." if place else ""
    return {inner: leaf for name, part in value.items() for inner, leaf in _leaves(part, f"{prefix}{name}").items()}


def _shown(value: Any, absent: str) -> str:
    return absent if value is None else str(value)
