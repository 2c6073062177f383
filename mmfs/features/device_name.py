"""What the device of a run is called: costs are compared with those of the same device only."""

from __future__ import annotations

from mmfs.features.device import resolve_device
from mmfs.store.costs import processor_name


def planned_device(wanted: str) -> str:
    """The name of the device that a run would get, found without importing torch where there is no GPU.

    Args:
        wanted: As in the setting ``device``.

    Raises:
        SettingsError: The name is none, or there is no such GPU.
    """
    return device_name(resolve_device(wanted))


def device_name(device: str) -> str:
    """A device as people know it: the GPU's name, or the processor's with its cores.

    Args:
        device: ``cpu`` or ``cuda:N``.
    """
    if device == "cpu":
        return processor_name()
    import torch

    return torch.cuda.get_device_name(device)
