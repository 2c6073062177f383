"""A Ray cluster of this machine alone, with as many GPUs as it is told to count. There need not be any."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def ray_cluster(*, gpus: int, cpus: int, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Start it, and end it with all that it started.

    Args:
        gpus: Logical GPUs.
        cpus: Logical CPUs.
        environment: Variables that its jobs see besides those they are sent with.
        log: File for what ``ray start`` prints.

    Yields:
        Address of its job server.
    """
    names = (
        "port",
        "dashboard-port",
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "ray-client-server-port",
    )
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    # Paths of sockets are limited to 107 bytes, which pytest's directories may exceed.
    folder = Path(tempfile.mkdtemp(prefix="mmfs-ray-"))
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats",
        "--node-ip-address=127.0.0.1", f"--num-gpus={gpus}", f"--num-cpus={cpus}", f"--temp-dir={folder}",
        f"--object-store-memory={80 * 2**20}", "--include-log-monitor=false",
        *(f"--{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    # Ray would keep a worker for each CPU at hand, and end jobs where the machine is short of memory.
    quiet = {
        "RAY_enable_worker_prestart": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_prestart_worker_first_driver": "0",
    }
    # Jobs call `dagster`, which must be the one of this environment.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with log.open("ab") as output:
        node = subprocess.Popen(
            command,
            env={**os.environ, "PATH": path, **environment, **quiet},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{ports['dashboard-port']}"
        _wait_for(address, node, log)
        yield address
    finally:
        _stop(node)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str, node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert node.poll() is None, f"Ray ended:\n{log.read_text()[-3000:]}"
        try:
            with urllib.request.urlopen(f"{address}/api/jobs/", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline, f"Ray does not answer:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)


def _stop(node: subprocess.Popen[bytes]) -> None:
    """End the node and everything below it, jobs in sessions of their own included."""
    import psutil

    below = psutil.Process(node.pid).children(recursive=True) if node.poll() is None else []
    node.send_signal(signal.SIGTERM)
    try:
        node.wait(20)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()
    for process in below:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(below, timeout=10)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
