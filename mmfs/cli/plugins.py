"""Commands that other packages bring: those that need Dagster live in ``mmfs_assets`` and arrive as entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import typer

from mmfs.doctor import Finding
from mmfs.errors import MissingExtraError
from mmfs.settings import Settings

GROUP = "mmfs.commands"
#: Commands of the orchestration extra, listed here so that they can be explained where it is not installed.
_EXPECTED = {
    "demo": "Run the main job end to end.",
    "home": "Write dagster.yaml for the settings.",
    "materialize": "Compute what is missing or stale, through Dagster.",
    "ui": "Open the Dagster UI.",
}


def add_plugin_commands(app: typer.Typer) -> None:
    """Add the commands of all installed plugins, and an explanation for those that are expected but absent."""
    found: set[str] = set()
    for plugin in _plugins():
        app.registered_commands.extend(plugin.registered_commands)
        found.update(_name(command) for command in plugin.registered_commands)
    for name, help_text in _EXPECTED.items():
        if name not in found:
            app.command(
                name,
                help=f"{help_text} (needs the extra orchestrate)",
                context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
            )(_missing(name))


def plugin_command(name: str) -> Callable[..., Any]:
    """The function behind a plugin's command.

    Raises:
        MissingExtraError: No installed plugin has it.
    """
    for plugin in _plugins():
        for command in plugin.registered_commands:
            if _name(command) == name and command.callback is not None:
                return command.callback
    raise _absent(name)


def plugin_findings(settings: Settings) -> Iterator[Finding]:
    """What plugins add to `mmfs doctor`: those that have a function ``diagnose`` beside their commands."""
    for _, module in _loaded():
        if hasattr(module, "diagnose"):
            yield from module.diagnose(settings)


def _plugins() -> list[typer.Typer]:
    return [entry_point.load() for entry_point, _ in _loaded()]


def _loaded() -> list[tuple[EntryPoint, ModuleType]]:
    loaded = []
    for entry_point in entry_points(group=GROUP):
        try:
            loaded.append((entry_point, import_module(entry_point.module)))
        except ModuleNotFoundError as error:
            # The entry point is installed with the core package; what it needs may not be.
            if (error.name or "").split(".")[0] not in {"dagster", "mmfs_assets"}:
                raise
    return loaded


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def _missing(name: str) -> Callable[..., None]:
    def explain() -> None:
        raise _absent(name)

    return explain


def _absent(name: str) -> MissingExtraError:
    return MissingExtraError(
        f"`mmfs {name}` runs through Dagster, which is not installed", mend="pip install 'mmfs[orchestrate]'"
    )
