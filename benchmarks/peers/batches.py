"""Batches that all peers make the same way: from what they read to what training takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from making.samples import SIDE

if TYPE_CHECKING:
    import torch

Images = tuple[Sequence[str], Any]


def raw(keys: Sequence[str], jpegs: Sequence[bytes]) -> Images:
    """Stored bytes, one a sample."""
    return keys, jpegs


def decoded(keys: Sequence[str], jpegs: Sequence[bytes]) -> Images:
    """Pictures uint8 [B, 3, H, W], channels last in memory: decoded in place, never copied."""
    import simplejpeg
    import torch

    pixels = np.empty((len(jpegs), SIDE, SIDE, 3), np.uint8)
    for place, jpeg in enumerate(jpegs):
        simplejpeg.decode_jpeg(jpeg, colorspace="RGB", buffer=pixels[place])
    return keys, torch.from_numpy(pixels).permute(0, 3, 1, 2)


def images(kind: str) -> Callable[[Sequence[str], Sequence[bytes]], Images]:
    """How a batch of JPEGs is handed out in this kind of pass."""
    return decoded if kind == "decode" else raw


def widened(vectors: npt.NDArray[np.float16]) -> torch.Tensor:
    """Vectors float32 [B, D] from float16 [B, D]."""
    import torch

    return torch.from_numpy(vectors.astype(np.float32))
