"""A process in the sandbox has no memory to spare, no network, no files to write and no time without end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are enforced in full on Linux only")


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter after it entered the sandbox."""
    enter = "from mmfs.media.sandbox import enter_sandbox, allow_cpu_seconds; enter_sandbox(512 << 20)\n"
    return subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, check=False)


def test_memory_beyond_the_limit_is_refused() -> None:
    assert "MemoryError" in run("bytearray(600 << 20)").stderr


def test_the_network_is_out_of_reach() -> None:
    inside = run("import os; print(os.readlink('/proc/self/ns/net'))").stdout.strip()
    if inside == os.readlink("/proc/self/ns/net"):
        pytest.skip("this kernel lets this user not leave the network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        assert "OSError" in run(connect).stderr


def test_no_more_than_a_note_can_be_written(tmp_path: Path) -> None:
    assert "File too large" in run(f"open({str(tmp_path / 'a')!r}, 'wb').write(b'0' * (1 << 20))").stderr
    assert (tmp_path / "a").stat().st_size <= 1 << 16


def test_a_loop_that_outlives_its_guard_is_ended_by_the_kernel() -> None:
    assert run("allow_cpu_seconds(-2)\nwhile True: pass").returncode == -signal.SIGXCPU
