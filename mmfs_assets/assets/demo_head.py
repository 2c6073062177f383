"""A training loop as anybody would write it: a small head that guesses a frame's embedding and mean depth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfs.loader import Loader

COLUMNS = ("frames.image", "clip_embeddings.vector", "depth_maps.depth", "captions.text")


@dataclass(frozen=True)
class TrainingResult:
    """What a training run came to.

    Attributes:
        losses: Loss of every step.
        samples: Samples seen.
        seconds: Wall time, loading included.
    """

    losses: tuple[float, ...]
    samples: int
    seconds: float

    @property
    def samples_per_s(self) -> float:
        """Samples a second, loading, decoding and training together."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


def train(loader: Loader, *, steps: int, seed: int = 0) -> TrainingResult:
    """Train for a few steps.

    Args:
        loader: Batches with `COLUMNS`: images uint8 ``[B, 3, H, W]``, vectors ``[B, D]``, depth float32 ``[B, H, W]``.
        steps: Optimizer steps; epochs follow one another where one is shorter.
        seed: Of the head's first weights.
    """
    import torch

    torch.manual_seed(seed)
    losses: list[float] = []
    samples, began = 0, time.perf_counter()
    batches = iter(loader.stream())
    first = next(batches)
    head = _head(first["clip_embeddings.vector"].shape[-1])
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for batch in islice(chain([first], batches), steps):
        loss = _loss(head, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        samples += len(batch["captions.text"])
    return TrainingResult(tuple(losses), samples, time.perf_counter() - began)


def _head(dim: int) -> Any:
    """Picture, float32 ``[B, 3, H, W]``, to an embedding and a mean depth, ``[B, dim + 1]``."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, dim + 1)
    )


def _loss(head: Any, batch: dict[str, Any]) -> Any:
    from torch.nn.functional import cosine_similarity, smooth_l1_loss

    guess = head(batch["frames.image"].float() / 255)
    wanted_depth = batch["depth_maps.depth"].flatten(1).mean(1)
    angle = cosine_similarity(guess[:, :-1], batch["clip_embeddings.vector"].float(), dim=-1)
    return (1 - angle).mean() + smooth_l1_loss(guess[:, -1], wanted_depth)
