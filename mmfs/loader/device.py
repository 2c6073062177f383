"""Moving batches to a GPU on the loader's threads, so that training finds them there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmfs.errors import LoaderError

Batch = dict[str, Any]


def wants_pinned(device: str | None) -> bool:
    """Whether host buffers should be page-locked for this device."""
    return device is not None and device.startswith("cuda")


def mover(device: str | None) -> Callable[[Batch], Batch]:
    """A function that moves a batch's tensors, and those in its lists, to the device; None leaves them.

    The copy has ended when it returns: the buffer it came from may be filled again at once.

    Raises:
        LoaderError: This machine has no such device.
    """
    if device is None or device == "cpu":
        return lambda batch: batch
    import torch

    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise LoaderError(
            f"device={device!r}: {str(error).splitlines()[0]}", mend="name a device of this machine, or none"
        ) from error

    def move(batch: Batch) -> Batch:
        moved = {name: _moved(value, target) for name, value in batch.items()}
        if target.type == "cuda":
            torch.cuda.current_stream(target).synchronize()
        return moved

    return move


def _moved(value: Any, target: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(target, non_blocking=True)
    if isinstance(value, list):
        return [_moved(item, target) for item in value]
    return value
