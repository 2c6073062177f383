"""Which device a model runs on."""

from __future__ import annotations

from mmfs.errors import SettingsError


def resolve_device(wanted: str) -> str:
    """The device to use: ``cpu`` or ``cuda:N``.

    Args:
        wanted: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SettingsError: The name is none of those, or there is no such GPU.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda:0" if gpus else "cpu"
    name, _, number = wanted.partition(":")
    if name != "cuda" or not (number or "0").isdigit():
        raise SettingsError(f"{wanted!r} is no device", where="MMFS_DEVICE", mend="use auto, cpu, cuda or cuda:N")
    if int(number or 0) >= gpus:
        raise SettingsError(
            f"{wanted!r} asks for a GPU, and torch sees {gpus}", where="MMFS_DEVICE", mend="use auto or cpu"
        )
    return f"cuda:{int(number or 0)}"
