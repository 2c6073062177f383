"""Two holders never share a device, and a holder that dies gives it back."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE
from typing import Literal
from unittest.mock import Mock

import pytest

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_resources import GpuLeaseResource
from mmfs_resources.devices import Leased

#: Two threads that lease and give back again and again, and mark a device in a way that no other holder may meanwhile.
TAKES_TURNS = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from mmfs_resources import GpuLeaseResource
lease = GpuLeaseResource(devices=["cpu:0", "cpu:1"], directory=sys.argv[1])
names = []
def take_turns(thread):
    for turn in range(20):
        with lease.lease("auto", holder=f"{thread}-{turn}") as device:
            taken = Path(sys.argv[1], f"{device.name}.taken")
            os.close(os.open(taken, os.O_CREAT | os.O_EXCL))
            time.sleep(0.002)
            taken.unlink()
            names.append(device.name)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(2) as threads:
    list(threads.map(take_turns, range(2)))
print(*names)
"""
HOLDS = """
import sys
from mmfs_resources import GpuLeaseResource
with GpuLeaseResource(devices=["cpu:0"], directory=sys.argv[1]).lease("auto", holder="run 7, depth_maps") as device:
    print(device.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lease(tmp_path: Path) -> GpuLeaseResource:
    return GpuLeaseResource(devices=["cpu:0", "cpu:1"], directory=str(tmp_path), timeout_s=0.01)


def test_two_holders_get_two_devices_and_a_third_is_told_who_holds_them(
    lease: GpuLeaseResource, tmp_path: Path
) -> None:
    with lease.lease("auto", holder="run a, frames") as first, lease.lease("cpu", holder="run b, frames") as second:
        assert {first.name, second.name} == {"cpu:0", "cpu:1"}
        assert first.device == second.device == "cpu"
        with pytest.raises(SettingsError, match="no device of cpu:0, cpu:1 became free") as caught, lease.lease("auto"):
            pass
        assert caught.value.where == str(tmp_path)
        assert f"process {os.getpid()} (run a, frames)" in caught.value.what
        assert f"process {os.getpid()} (run b, frames)" in caught.value.what
    with lease.lease("auto") as again:
        assert again == Leased("cpu:0", "cpu")


def test_the_cpu_is_shared_by_all_where_there_are_no_logical_devices(tmp_path: Path) -> None:
    shared = GpuLeaseResource(directory=str(tmp_path))
    with shared.lease("cpu") as first, shared.lease("cpu") as second:
        assert first == second == Leased("cpu", "cpu")
    assert not list(tmp_path.iterdir())


def test_processes_never_share_a_device_and_use_all_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKES_TURNS, str(tmp_path)]
    holders = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
    for holder in holders:
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        holder.stdin.flush()
    turns = [name for holder in holders for name in holder.communicate()[0].split()]
    assert [holder.returncode for holder in holders] == [0, 0]
    assert len(turns) == 80
    assert set(turns) == {"cpu:0", "cpu:1"}


def test_who_waits_says_for_whom_and_gets_the_device_of_a_holder_that_was_killed(tmp_path: Path) -> None:
    said: list[str] = []
    waiting = GpuLeaseResource(devices=["cpu:0"], directory=str(tmp_path), timeout_s=60)
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "cpu:0\n"

        def say(text: str) -> None:
            said.append(text)
            holder.send_signal(signal.SIGKILL)
            holder.wait()

        with waiting.lease("auto", holder="run 8, depth_maps", say=say) as device:
            assert device.name == "cpu:0"
            assert json.loads((tmp_path / "cpu-0.lock").read_text())["holder"] == "run 8, depth_maps"
    assert said[0] == f"waiting for a device: cpu:0 is held by process {holder.pid} (run 7, depth_maps)"
    assert said[1].startswith("got cpu:0 after ")


def test_a_lock_file_is_never_followed_elsewhere(lease: GpuLeaseResource, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / "cpu-0.lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"), lease.lease("auto"):
        pass
    assert precious.read_text() == "keep"


@pytest.mark.parametrize("executor", ["gpu_box", "k8s"])
def test_a_box_and_a_pod_want_a_device_and_a_laptop_does_without(
    executor: Literal["gpu_box", "k8s"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs_resources.devices.gpu_count", lambda: 0)
    with GpuLeaseResource.of(Settings()).lease("auto") as device:
        assert device.name == "cpu"
    with (
        pytest.raises(SettingsError, match=rf"the executor {executor} wants one .*MMFS_EXECUTOR.*MMFS_GPUS=cpu:0"),
        GpuLeaseResource.of(Settings(executor=executor)).lease("auto"),
    ):
        pass


def test_a_lease_does_without_the_name_of_its_holder_where_the_disk_is_full(
    lease: GpuLeaseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.pwrite", Mock(side_effect=OSError(errno.ENOSPC, "no space left")))
    for _ in range(2):
        with lease.lease("auto") as first, lease.lease("auto") as second:
            assert {first.name, second.name} == {"cpu:0", "cpu:1"}
    with lease.lease("cpu"), lease.lease("cpu"), pytest.raises(SettingsError, match="has not said its name"):
        lease.lease("cpu").__enter__()


def test_a_lease_ends_also_when_it_fails_just_after_the_lock_was_taken(tmp_path: Path) -> None:
    lease = GpuLeaseResource(devices=["cpu:0"], directory=str(tmp_path), timeout_s=60)
    with ExitStack() as holder:
        holder.enter_context(lease.lease("cpu"))

        def say(text: str) -> None:
            holder.close()
            if text.startswith("got"):
                raise RuntimeError("the log is gone")

        with pytest.raises(RuntimeError, match="the log is gone"), lease.lease("cpu", say=say):
            pass
    with GpuLeaseResource(devices=["cpu:0"], directory=str(tmp_path), timeout_s=0.01).lease("cpu") as again:
        assert again.name == "cpu:0"


def test_a_file_that_cannot_be_locked_is_closed(lease: GpuLeaseResource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOLCK, "no locks left")))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no locks left"), lease.lease("auto"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_processes_that_see_other_gpus_wait_for_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfs_resources.devices.gpu_count", lambda: 2)
    lease = GpuLeaseResource(directory=str(tmp_path), timeout_s=0.01)
    with lease.lease("cuda:1") as held:
        assert held == Leased("cuda:1", "cuda:1")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        monkeypatch.setattr("mmfs_resources.devices.gpu_count", lambda: 1)
        with pytest.raises(SettingsError, match="no device of cuda:1 became free"), lease.lease("cuda"):
            pass
    with lease.lease("cuda") as same:
        assert same == Leased("cuda:1", "cuda:0"), "torch counts what it sees"
