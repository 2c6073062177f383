"""Two holders never share a device, and a holder that dies gives it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmfs.errors import SettingsError
from mmfs_resources import GpuLeaseResource


@pytest.fixture
def lease(tmp_path: Path) -> GpuLeaseResource:
    return GpuLeaseResource(devices=["cuda:0", "cuda:1"], directory=str(tmp_path), timeout_s=0.01)


def test_two_holders_get_two_devices_and_a_third_is_told_where_to_look(lease: GpuLeaseResource, tmp_path: Path) -> None:
    with lease.lease("auto") as first, lease.lease("auto") as second:
        assert {first, second} == {"cuda:0", "cuda:1"}
        with (
            pytest.raises(SettingsError, match="no device of cuda:0, cuda:1 became free") as caught,
            lease.lease("cuda"),
        ):
            pass
        assert caught.value.where == str(tmp_path)
    with lease.lease("cuda:1") as again:
        assert again == "cuda:1"


def test_a_device_that_was_named_is_the_one_leased(lease: GpuLeaseResource) -> None:
    with lease.lease("cuda:1"), pytest.raises(SettingsError), lease.lease("cuda:1"):
        pass


def test_the_cpu_is_shared_by_all(lease: GpuLeaseResource) -> None:
    with lease.lease("cpu") as first, lease.lease("cpu") as second:
        assert first == second == "cpu"


def test_a_holder_that_is_killed_frees_its_device(lease: GpuLeaseResource, tmp_path: Path) -> None:
    program = (
        "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(d, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cuda-0.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SettingsError), lease.lease("cuda:0"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with lease.lease("cuda:0") as device:
        assert device == "cuda:0"
