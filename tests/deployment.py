"""Dagster as it runs in production: code server, daemon and webserver, each a process of its own on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from mmfs_assets.execution import DAEMON_VARIABLES

Part = Literal["code-server", "daemon", "webserver"]
#: What Dagster calls the code location by default, in `mmfs ui` and in workspace.yaml.
LOCATION = "mmfs_assets.definitions"
PARTS: tuple[Part, ...] = ("code-server", "daemon", "webserver")
_T = TypeVar("_T")


@dataclass
class Deployment:
    """Three processes over one ``DAGSTER_HOME`` and one store.

    Attributes:
        home: ``DAGSTER_HOME``; holds dagster.yaml, and what the processes print, as ``<part>.log``.
        environment: Variables of all three, besides those of this process: ``MMFS_STORE`` and other settings.
    """

    home: Path
    environment: Mapping[str, str]
    _processes: dict[Part, subprocess.Popen[bytes]] = field(default_factory=dict)
    _ports: dict[Part, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the webserver."""
        return f"http://127.0.0.1:{self._port('webserver')}"

    @property
    def workspace(self) -> Path:
        """The workspace file that daemon and webserver read: one code location, at the code server."""
        path = self.home / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": self._port("code-server"), "location_name": LOCATION}
        path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        return path

    def start(self, *parts: Part) -> None:
        """Start these, the code server first, and wait until they answer; all three when none is named."""
        for part in PARTS:
            if part in (parts or PARTS):
                self._start(part)

    def kill(self, part: Part) -> None:
        """End one as a crash would, with what it started in its own process group."""
        self._signal(part, signal.SIGKILL)

    def stop(self) -> None:
        """End all of them."""
        for part in reversed(list(self._processes)):
            self._signal(part, signal.SIGTERM)

    def pid(self, part: Part) -> int:
        """Process id of one of them."""
        return self._processes[part].pid

    def log(self, part: Part) -> str:
        """What one has printed."""
        path = self.home / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def graphql(self, query: str, **variables: Any) -> Any:
        """What the webserver answers, as the UI asks it.

        Raises:
            AssertionError: The query has errors.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        assert "errors" not in said, said["errors"]
        return said["data"]

    def wait_for(self, what: Callable[[], _T], *, seconds: float = 400.0, every_s: float = 0.5) -> _T:
        """Ask until something true is answered.

        Raises:
            AssertionError: It was not in time; the message holds what the daemon printed last.
        """
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "not in time; the daemon says:\n" + self.log("daemon")[-3000:]
            time.sleep(every_s)
        return found

    def _start(self, part: Part) -> None:
        assert part not in self._processes or self._processes[part].poll() is not None, f"{part} runs"
        port = self._port(part)
        commands: dict[Part, list[str]] = {
            "code-server": ["-m", "dagster", "api", "grpc", "-m", LOCATION, "-h", "127.0.0.1"],
            "daemon": ["-m", "dagster._daemon", "run", "-w", str(self.workspace)],
            "webserver": ["-m", "dagster_webserver", "-w", str(self.workspace), "-h", "127.0.0.1"],
        }
        ported = ["-p", str(port)] if part != "daemon" else []
        environment = {**os.environ, **DAEMON_VARIABLES, **self.environment, "DAGSTER_HOME": str(self.home)}
        with (self.home / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [sys.executable, *commands[part], *ported],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if part == "code-server":
            self.wait_for(lambda: self._alive(part) and _listens(port), every_s=0.1)
        elif part == "webserver":
            self.wait_for(lambda: self._alive(part) and _answers(f"{self.url}/server_info"), every_s=0.1)

    def _alive(self, part: Part) -> bool:
        assert self._processes[part].poll() is None, f"{part} ended:\n{self.log(part)[-3000:]}"
        return True

    def _signal(self, part: Part, number: signal.Signals) -> None:
        process = self._processes.pop(part, None)
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _port(self, part: Part) -> int:
        if part not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[part] = free.getsockname()[1]
        return self._ports[part]


@contextmanager
def deployed(home: Path, environment: Mapping[str, str], *parts: Part) -> Iterator[Deployment]:
    """These processes, all three when none is named, ended afterwards. ``home`` must hold a dagster.yaml."""
    found = Deployment(home, environment)
    try:
        found.start(*parts)
        yield found
    finally:
        found.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False
