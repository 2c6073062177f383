"""The devices that a step may be given."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmfs.errors import SettingsError
from mmfs.features.device import gpu_count

_MEND = "set MMFS_DEVICE=auto or cpu, or run where such a GPU is"


@dataclass(frozen=True)
class Leased:
    """A device for one step.

    Attributes:
        name: What all processes of the machine call it: ``cuda:1``, ``cpu:0`` for a logical one, ``cpu`` for none,
            ``host/cuda:1`` where Ray chose it.
        device: What torch calls it in this process: ``cpu`` or ``cuda:N``.
    """

    name: str
    device: str


#: What a step gets that needs none.
NO_DEVICE = Leased("cpu", "cpu")


def candidates(wanted: str, devices: Sequence[str], *, required_by: str | None = None) -> list[str]:
    """The devices that would do; none when the CPU does, which is not leased.

    Args:
        wanted: ``auto``, ``cuda``, ``cuda:N`` or ``cpu``.
        devices: Those that may be used (MMFS_GPUS); none: all that torch sees.
        required_by: The executor under which ``auto`` may not fall back to the CPU.

    Raises:
        SettingsError: There is no such device.

    >>> candidates("auto", ["cpu:0", "cpu:1"])
    ['cpu:0', 'cpu:1']
    >>> candidates("cpu", [])
    []
    """
    for device in devices:
        _check(device)
    kind, _, number = wanted.partition(":")
    if wanted == "auto":
        if not (found := list(devices) or _gpus()) and required_by:
            raise SettingsError(
                f"torch sees no GPU here, and the executor {required_by} wants one",
                where="MMFS_EXECUTOR",
                mend="see that torch is a build for GPUs, set MMFS_GPUS=cpu:0 for a logical device, or "
                "MMFS_EXECUTOR=local",
            )
        return found
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise SettingsError(f"{wanted!r} is no device", where="MMFS_DEVICE", mend="use auto, cpu, cuda or cuda:N")
    found = [device for device in devices or _gpus() if device.partition(":")[0] == kind]
    if wanted == "cpu":
        return found
    if number:
        found = [device for device in found if device == wanted]
    if not found:
        among = f"MMFS_GPUS names {', '.join(devices)}" if devices else f"torch sees {gpu_count()} GPUs here"
        raise SettingsError(f"there is no device {wanted}: {among}", where="MMFS_DEVICE", mend=_MEND)
    return found


def assigned_by_ray(wanted: str, environment: Mapping[str, str] | None = None) -> Leased | None:
    """The device that Ray gave to this job; None outside of a job, and where the job asked for none.

    Args:
        wanted: As in the setting ``device``; which of several GPUs is not for the setting to say here.
        environment: Variables; default: those of this process.

    Raises:
        SettingsError: Ray counts a GPU where there is none, and a real one is wanted.

    >>> assigned_by_ray("auto", {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "CUDA_VISIBLE_DEVICES": ""}) is None
    True
    """
    variables = os.environ if environment is None else environment
    visible = _visible(variables)
    if wanted == "cpu" or "RAY_JOB_CONFIG_JSON_ENV_VAR" not in variables or not visible:
        return None
    name, real = f"{socket.gethostname()}/cuda:{visible[0]}", gpu_count() > 0
    if wanted != "auto" and not real:
        raise SettingsError(f"Ray gave {name}, and torch sees no GPU there", where="MMFS_DEVICE", mend=_MEND)
    # Ray hides all others, so that torch calls the first of them cuda:0 whatever its number.
    return Leased(name, "cuda:0" if real else "cpu")


def on_machine(device: str, environment: Mapping[str, str] | None = None) -> str:
    """What all processes of the machine call a device, whichever GPUs each of them may see.

    Where some of them name GPUs by number and others by UUID, nobody here can tell that two names mean one.

    Args:
        device: As torch counts the GPUs that this process may see.
        environment: Variables; default: those of this process.

    >>> on_machine("cuda:0", {"CUDA_VISIBLE_DEVICES": "1,3"}), on_machine("cuda:0", {}), on_machine("cpu:0", {})
    ('cuda:1', 'cuda:0', 'cpu:0')
    """
    kind, _, number = device.partition(":")
    visible = _visible(os.environ if environment is None else environment)
    return f"cuda:{visible[int(number)]}" if kind == "cuda" and int(number) < len(visible) else device


def _visible(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a process may see, by number or UUID; none: all of them, or none."""
    return [number.strip() for number in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if number.strip()]


def _check(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or not number.isdigit():
        raise SettingsError(f"{device!r} is no device to lease", where="MMFS_GPUS", mend="use cuda:N, or cpu:N")
    if kind == "cuda" and int(number) >= gpu_count():
        raise SettingsError(
            f"{device!r} is not there: torch sees {gpu_count()} GPUs here", where="MMFS_GPUS", mend=_MEND
        )


def _gpus() -> list[str]:
    return [f"cuda:{number}" for number in range(gpu_count())]
