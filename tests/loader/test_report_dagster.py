"""Telling Dagster of training runs: what is said, and that nothing said, refused or unanswered reaches training."""

from __future__ import annotations

import base64
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mmfs.loader import Loader, keys_at
from mmfs.loader.aside import _threads
from mmfs.loader.report_dagster import DagsterReporter
from mmfs.settings import Settings
from mmfs.store import Store
from tests.loader.world import World

VECTOR = "clip_embeddings.vector"
SECRET = "hunter2"


@dataclass
class Server:
    """What a webserver was told."""

    port: int
    answer: int = 200
    body: bytes = b"{}"
    location: str | None = None
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append((self.path, dict(self.headers), body))
            self.send_response(state.answer)
            if state.location:
                self.send_header("Location", state.location)
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def dead() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def finish() -> None:
    """Wait for all reports to be sent or given up."""
    for thread in list(_threads):
        thread.join(20)


def loader_of(world: World, url: str, rank: int = 0) -> Loader:
    told = Store.open(world.store.url, settings=Settings(dagster_url=url))
    return Loader(told, world.pin("p", [VECTOR]), run="run-7", batch_size=10, rank=rank, world_size=2)


def test_a_run_is_reported_where_it_begins_and_where_it_stops(world: World, server: Server) -> None:
    loader = loader_of(world, server.url + "/dagster/")
    list(islice(loader, 3))
    finish()
    (path, headers, began), (_, _, stopped) = server.requests
    assert path == "/dagster/report_asset_materialization/training_runs"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert began["data_version"] == stopped["data_version"] == loader.pin.id
    assert began["metadata"] == {
        "event": "began",
        "run_id": "run-7",
        "pin": "p",
        "selection_id": loader.pin.selection_id,
        "world_size": 2,
        "batch_size": 10,
        "table_versions": {name: table.version for name, table in loader.pin.tables.items()},
        "samples": 74,
        "epoch": 0,
        "step": 0,
        "position": 0,
    }
    assert stopped["metadata"] == began["metadata"] | {"event": "stopped", "step": 3, "position": 60}


def test_other_ranks_than_the_first_report_nothing(world: World, server: Server) -> None:
    list(loader_of(world, server.url, rank=1))
    finish()
    assert server.requests == []


def test_a_password_is_sent_as_basic_authentication_and_shown_nowhere(
    world: World, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer, server.body = 401, b'{"error": "Not authorized to report runless asset events."}'
    loader = loader_of(world, f"http://us%40er:{SECRET}@127.0.0.1:{server.port}")
    with caplog.at_level(logging.DEBUG):
        list(loader)
        finish()
    [_, headers, body] = server.requests[0]
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"us@er:{SECRET}"
    assert SECRET not in json.dumps(body)
    assert SECRET not in caplog.text
    assert "answered 401" in caplog.text
    assert "Not authorized" in caplog.text
    assert SECRET not in repr(Settings(dagster_url=f"http://u:{SECRET}@h"))


def test_a_redirect_is_not_followed_with_the_password(
    server: Server, dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer, server.location = 307, dead
    DagsterReporter(f"http://u:{SECRET}@127.0.0.1:{server.port}").report("v", {})
    finish()
    assert len(server.requests) == 1
    assert "answered 307" in caplog.text


@pytest.mark.parametrize(
    "url", ["ftp://u:hunter2@h", "http://", "http://u:hunter2@h:port", "nonsense hunter2", "http://["]
)
def test_a_url_that_is_none_is_one_warning_that_does_not_show_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    reporter = DagsterReporter(url)
    for _ in range(3):
        reporter.report("v", {})
        finish()
    assert caplog.text.count("MMFS_DAGSTER_URL is no http(s) URL") == 1
    assert SECRET not in caplog.text


def test_a_server_that_is_not_there_is_one_warning(world: World, dead: str, caplog: pytest.LogCaptureFixture) -> None:
    loader = loader_of(world, dead)
    assert [len(list(loader)) for _ in range(3)] == [4, 4, 4]
    finish()
    assert caplog.text.count("Dagster is not told of it") == 1
    assert "does not answer" in caplog.text
    assert len(keys_at(world.store, "run-7", step=11, rank=1)) == 10


def test_a_server_that_hangs_delays_nothing(world: World, hanging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfs.loader.report_dagster._TIMEOUT_S", 600.0)
    loader = loader_of(world, hanging)
    began = time.monotonic()
    for _ in range(20):
        list(loader)
    assert time.monotonic() - began < 120
    assert sum(thread.name == "mmfs-dagster-reporter" for thread in threading.enumerate()) == 1


def test_the_end_of_the_process_does_not_wait_for_a_server_that_hangs(hanging: str) -> None:
    program = (
        "import mmfs.loader.report_dagster as module, sys\n"
        "module._TIMEOUT_S = 600\n"
        "for n in range(100): module.DagsterReporter(sys.argv[1]).report(str(n), {})\n"
    )
    subprocess.run([sys.executable, "-c", program, hanging], check=True, timeout=120, cwd=Path(__file__).parents[2])


def test_reports_that_a_slow_server_keeps_waiting_make_room_for_newer_ones(server: Server) -> None:
    first, gate = threading.Event(), threading.Event()
    reporter = DagsterReporter(server.url)
    original = reporter._send_waiting

    def held() -> None:
        first.set()
        gate.wait(20)
        original()

    reporter._send_waiting = held  # type: ignore[method-assign]
    for number in range(100):
        reporter.report(str(number), {})
    assert first.wait(20)
    gate.set()
    finish()
    assert [body["data_version"] for _, _, body in server.requests] == [str(number) for number in range(92, 100)]
