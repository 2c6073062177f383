"""The commands by which the operations page starts Dagster's processes one by one are commands of Dagster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from dagster._cli import create_dagster_cli
from dagster._core.workspace.config_schema import process_workspace_config
from dagster._daemon.cli import create_dagster_daemon_cli
from dagster_webserver.cli import dagster_webserver

from mmfs_assets.execution import DAEMON_VARIABLES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
SECTION = PAGE[PAGE.index("**Parts apart.**") : PAGE.index("## Backfills")]
PROGRAMS = {
    "dagster": create_dagster_cli(),
    "dagster-daemon": create_dagster_daemon_cli(),
    "dagster-webserver": dagster_webserver,
}


def block(language: str) -> str:
    """The section's only block of this language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found)


def parsed(command: click.Command, arguments: list[str]) -> dict[str, object]:
    """What a command, or the one below it that is named, takes its arguments for.

    Raises:
        click.UsageError: It does not take them.
    """
    while isinstance(command, click.Group):
        name, *arguments = arguments
        assert name in command.commands, name
        command = command.commands[name]
    return command.make_context(command.name, arguments).params


def test_the_daemon_is_given_what_lets_backfills_outlive_a_code_server() -> None:
    exported = [one for line in block("sh").splitlines() if line.startswith("export") for one in line.split()[1:]]
    assert {f"{name}={value}" for name, value in DAEMON_VARIABLES.items()} <= set(exported)


def test_each_command_takes_its_arguments_and_the_workspace_leads_to_the_code_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("servers.yaml").write_text(block("yaml"))
    lines = [shlex.split(line, comments=True) for line in block("sh").splitlines() if not line.startswith("export")]
    assert [program for program, *_ in lines] == list(PROGRAMS)
    server, daemon, webserver = (parsed(PROGRAMS[program], arguments) for program, *arguments in lines)
    workspace = process_workspace_config(yaml.safe_load(block("yaml")))
    assert workspace.success, workspace.errors
    [place] = workspace.value["load_from"]
    assert place["grpc_server"]["port"] == server["port"]
    assert place["grpc_server"]["host"] == server["host"] == "127.0.0.1"
    for part in (daemon, webserver):
        assert "servers.yaml" in str(part["workspace"])
