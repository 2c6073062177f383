"""Which device a step may use, where several processes share one machine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_resources.devices import NO_DEVICE, Leased, assigned_by_ray, candidates, on_machine

#: How long to wait before looking again: first, and at most.
_POLL_S = (0.005, 0.25)


@dataclass(frozen=True)
class _Held:
    device: str
    by: str


class GpuLeaseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Hands out devices, one holder each. The pool ``gpu`` limits how many steps run; the lease says where.

    A lease is a file lock: the system frees it when its holder ends, however it ends. It holds among processes of one
    user that share the directory. A step on Ray takes the device that Ray gave it, and locks nothing.
    """

    devices: list[str] = Field(
        default_factory=list,
        description="Devices to lease, e.g. cuda:0, cuda:1; default: all that torch sees. cpu:0 is a logical one.",
    )
    required_by: str | None = Field(
        default=None, description="The executor under which `auto` may not fall back to the CPU; default: it may."
    )
    directory: str | None = Field(default=None, description="Where lock files lie; default: the temporary directory.")
    timeout_s: float = Field(default=24 * 3600.0, gt=0, description="How long to wait for a free device.")

    @classmethod
    def of(cls, settings: Settings) -> GpuLeaseResource:
        """The lease for these settings. What Ray counts as a GPU is for Ray to say, and may be a logical one."""
        wants_gpu = settings.executor in ("gpu_box", "k8s")
        return cls(devices=list(settings.gpus), required_by=settings.executor if wants_gpu else None)

    @contextmanager
    def lease(
        self, wanted: str, *, holder: str = "", say: Callable[[str], object] = lambda _: None
    ) -> Iterator[Leased]:
        """Hold a device.

        Args:
            wanted: ``auto`` or ``cuda`` for any of the devices, ``cuda:N`` for that one, ``cpu`` for a logical device
                where there are such, else for none (no lock).
            holder: Who asks; those who wait are told it.
            say: Is told who is waited for, and for how long.

        Yields:
            The device.

        Raises:
            SettingsError: There is no such device, or none became free in time.
        """
        if given := assigned_by_ray(wanted):
            yield given
            return
        among = candidates(wanted, self.devices, required_by=self.required_by)
        if not among:
            yield NO_DEVICE
            return
        with ExitStack() as mine:
            yield self._take(among, holder, say, mine)

    def _take(self, among: Sequence[str], holder: str, say: Callable[[str], object], mine: ExitStack) -> Leased:
        folder = Path(self.directory or Path(tempfile.gettempdir()) / f"mmfs-gpu-lease-{os.getuid()}")
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        pause_s = _POLL_S[0]
        said: list[_Held] = []
        while True:
            held = []
            for device in among:
                name = on_machine(device)
                path = folder / f"{re.sub('[:/]', '-', name)}.lock"
                if _lock(path, holder, mine):
                    if said:
                        say(f"got {name} after {time.monotonic() - began:.1f} s")
                    return Leased(name, "cpu" if device.startswith("cpu") else device)
                held.append(_Held(name, _holder(path)))
            text = "; ".join(f"{one.device} is held by {one.by}" for one in held)
            if held != said:
                say(f"waiting for a device: {text}")
                said = held
            if time.monotonic() - began >= self.timeout_s:
                raise SettingsError(
                    f"no device of {', '.join(one.device for one in held)} became free in {self.timeout_s:g} s: {text}",
                    where=str(folder),
                    mend="wait for what holds them, or set MMFS_DEVICE=cpu",
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_S[1])


def _lock(path: Path, holder: str, mine: ExitStack) -> bool:
    """Lock a file until ``mine`` ends, and write the holder's name into it; False where another has it."""
    with ExitStack() as opened:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        opened.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with suppress(OSError):  # the lock holds without a name, also where the disk is full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "holder": holder}).encode(), 0)
        mine.push(opened.pop_all())
    return True


def _holder(path: Path) -> str:
    """Who wrote into a lock file last; that is its holder but for a moment after the lock was taken."""
    try:
        said = json.loads(path.read_text())
        return f"process {said['pid']}" + (f" ({said['holder']})" if said["holder"] else "")
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has not said its name"
