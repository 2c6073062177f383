"""Which device a step may use, where several processes share one machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from pydantic import Field

from mmfs.errors import SettingsError

_POLL_S = 0.2


class GpuLeaseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Hands out devices, one holder each. The pool ``gpu`` limits how many steps run; the lease says where.

    A lease is a file lock: the system frees it when its holder ends, however it ends.
    """

    devices: list[str] = Field(
        default_factory=list, description="Devices to lease, e.g. cuda:0, cuda:1; default: all that torch sees."
    )
    directory: str | None = Field(default=None, description="Where lock files lie; default: the temporary directory.")
    timeout_s: float = Field(default=24 * 3600.0, gt=0, description="How long to wait for a free device.")

    @contextmanager
    def lease(self, wanted: str) -> Iterator[str]:
        """Hold a device.

        Args:
            wanted: ``auto`` or ``cuda`` for any of the devices, ``cuda:N`` for that one, ``cpu`` for none (no lock).

        Yields:
            The device: ``cpu`` or ``cuda:N``.

        Raises:
            SettingsError: No device became free in time.
        """
        candidates = self._candidates(wanted)
        if candidates == ["cpu"]:
            yield "cpu"
            return
        device, descriptor = self._take(candidates)
        try:
            yield device
        finally:
            os.close(descriptor)

    def _candidates(self, wanted: str) -> list[str]:
        if wanted not in ("auto", "cuda"):
            return [wanted]
        if self.devices:
            return list(self.devices)
        if wanted == "auto" and not Path("/dev/nvidia0").exists():
            return ["cpu"]  # without importing torch, which a run with nothing to compute does not need
        import torch

        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [f"cuda:{number}" for number in range(found)] or ["cpu" if wanted == "auto" else wanted]

    def _take(self, candidates: Sequence[str]) -> tuple[str, int]:
        folder = Path(self.directory or Path(tempfile.gettempdir()) / f"mmfs-gpu-lease-{os.getuid()}")
        folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self.timeout_s
        while True:
            for device in candidates:
                descriptor = os.open(folder / f"{device.replace(':', '-')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return device, descriptor
                except BlockingIOError:
                    os.close(descriptor)
            if time.monotonic() >= deadline:
                raise SettingsError(
                    f"no device of {', '.join(candidates)} became free in {self.timeout_s:g} s",
                    where=str(folder),
                    mend="wait for the steps that hold them, or set MMFS_DEVICE=cpu",
                )
            time.sleep(_POLL_S)
