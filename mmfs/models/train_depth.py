"""Trains the demo depth model on pictures with exact metric depth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Frames are squeezed a little in width, so that both sides are multiples of the deepest stride, 32.
INPUT_HEIGHT, INPUT_WIDTH = 96, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODEL_CONFIG: dict[str, Any] = {
    "depths": [1, 1, 2, 2],
    "hidden_sizes": [24, 48, 96, 144],
    "num_attention_heads": [1, 2, 4, 6],
    "mlp_ratios": [2, 2, 3, 3],
    "sr_ratios": [8, 4, 2, 1],
    "decoder_hidden_size": 24,
    "drop_path_rate": 0.0,
    "max_depth": 20,
}
PROCESSOR_CONFIG: dict[str, Any] = {
    "image_processor_type": "DPTImageProcessor",
    "do_resize": True,
    "size": {"height": INPUT_HEIGHT, "width": INPUT_WIDTH},
    "keep_aspect_ratio": False,
    "ensure_multiple_of": 32,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(MEAN),
    "image_std": list(STD),
    "do_pad": False,
}


def train_depth(
    batches: Iterable[dict[str, Any]],
    directory: Path,
    *,
    steps: int,
    seed: int = 0,
    peak_rate: float = 1.2e-3,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Trains for `steps` batches and writes a folder for transformers' AutoModelForDepthEstimation.

    Args:
        batches: at least `steps` batches: "frames.image" uint8 [B, 3, H, W] and "depth", the true distance along the
            camera's axis in metres, float [B, h, w] of the same aspect.
        directory: receives configuration, preprocessing and weights (float16).
        steps: how many batches are used; the learning rate falls to 0 over them.
        seed: of the initial weights and of the mirroring of pictures.
        peak_rate: the learning rate after warming up.
        report: called with (step, loss); the loss is the mean error of the depth's logarithm.
    """
    import torch
    from transformers import GLPNConfig, GLPNForDepthEstimation

    torch.manual_seed(seed)
    coin = torch.Generator().manual_seed(seed)
    directory.mkdir(parents=True, exist_ok=True)
    model: Any = GLPNForDepthEstimation(GLPNConfig(**MODEL_CONFIG)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=0.02)
    for step, batch in zip(range(steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak_rate * _schedule(step, steps)
        pixels, truth = prepare(batch["frames.image"]), _at_input_size(batch["depth"])
        if torch.rand((), generator=coin) < 0.5:  # a mirrored room is as true as the room
            pixels, truth = pixels.flip(-1), truth.flip(-1)
        depth = model(pixel_values=pixels).predicted_depth
        loss = (depth.clamp(min=0.05).log() - truth.log()).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if report is not None:
            report(step, loss.item())
    model.half().save_pretrained(directory, safe_serialization=True)
    (directory / "preprocessor_config.json").write_text(json.dumps(PROCESSOR_CONFIG, indent=2) + "\n")


def prepare(images: torch.Tensor) -> torch.Tensor:
    """What the model's preprocessing does to scene frames: uint8 [B, 3, H, W] to float32 [B, 3, 96, 128]."""
    import torch

    size = (INPUT_HEIGHT, INPUT_WIDTH)
    if tuple(images.shape[-2:]) != size:
        images = torch.nn.functional.interpolate(images, size=size, mode="bicubic", antialias=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def _at_input_size(depth: torch.Tensor) -> torch.Tensor:
    """Depth [B, h, w] averaged down to the model's size: float32 [B, 96, 128]."""
    import torch

    size = (INPUT_HEIGHT, INPUT_WIDTH)
    return torch.nn.functional.interpolate(depth[:, None].float(), size=size, mode="area")[:, 0]


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear up over 5 % of the steps, then half a cosine down to 0."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
