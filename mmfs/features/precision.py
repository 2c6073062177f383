"""Number formats of a forward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]


def autocast(device: str, precision: Precision) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 where asked for, and on CUDA unless fp32 is asked for."""
    import torch

    kind = device.partition(":")[0]
    if precision == "bf16" or (precision == "auto" and kind == "cuda"):
        return torch.autocast(kind, dtype=torch.bfloat16)
    return nullcontext()
