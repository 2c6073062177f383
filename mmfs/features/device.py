"""Which device a model runs on."""

from __future__ import annotations

from pathlib import Path

from mmfs.errors import SettingsError

#: Where drivers of GPUs show themselves: NVIDIA, NVIDIA under Windows, AMD.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def gpu_count() -> int:
    """GPUs that torch can use. Where there is no driver, torch is not imported to find that out."""
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve_device(wanted: str) -> str:
    """The device to use: ``cpu`` or ``cuda:N``.

    Args:
        wanted: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SettingsError: The name is none of those, or there is no such GPU.
    """
    if wanted == "cpu":
        return "cpu"
    name, _, number = wanted.partition(":")
    if wanted != "auto" and (name != "cuda" or not (number or "0").isdigit()):
        raise SettingsError(f"{wanted!r} is no device", where="MMFS_DEVICE", mend="use auto, cpu, cuda or cuda:N")
    gpus = gpu_count()
    if wanted == "auto":
        return "cuda:0" if gpus else "cpu"
    if int(number or 0) >= gpus:
        raise SettingsError(
            f"{wanted!r} asks for a GPU, and torch sees {gpus}", where="MMFS_DEVICE", mend="use auto or cpu"
        )
    return f"cuda:{int(number or 0)}"
