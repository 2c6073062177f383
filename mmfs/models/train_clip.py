"""Trains the demo image-text model on captioned pictures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfs.models.tokenizer import CONTEXT_LENGTH, vocabulary, write_tokenizer
from mmfs.models.wording import near_miss, nonsense, with_fillers

if TYPE_CHECKING:
    import torch
    from open_clip import CLIP

IMAGE_SIZE = 64
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 2, 2, 1], "width": 24, "head_width": 64},
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": len(vocabulary()),
        "hf_tokenizer_name": "mmfs-demo",
        "width": 96,
        "heads": 3,
        "layers": 2,
    },
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "size": [IMAGE_SIZE, IMAGE_SIZE],
    "mode": "RGB",
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
_NONSENSE_TEXTS = 8


def train_clip(
    batches: Iterable[dict[str, Any]],
    directory: Path,
    *,
    steps: int,
    seed: int = 0,
    peak_rate: float = 2e-3,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Trains for `steps` batches and writes a folder that open_clip opens as `local-dir:<directory>`.

    Args:
        batches: at least `steps` batches: "frames.image" uint8 [B, 3, H, W] (square), "captions.text" a list of B
            texts, and "phrases" a list of B collections, each of all short texts that are true of the picture.
        directory: receives configuration, tokenizer and weights (float16).
        steps: how many batches are used; the learning rate falls to 0 over them.
        seed: of the initial weights and of all choices.
        peak_rate: the learning rate after warming up.
        report: called with (step, loss).
    """
    import open_clip
    import torch

    torch.manual_seed(seed)
    rng = random.Random(seed)
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (directory / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenize = open_clip.get_tokenizer(f"local-dir:{directory}")
    model: Any = open_clip.create_model(f"local-dir:{directory}", load_weights=False)
    model = model.to(memory_format=torch.channels_last).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
    for step, batch in zip(range(steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak_rate * _schedule(step, steps)
        loss: Any = _loss(model, tokenize, batch, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, math.log(60.0))
        if report is not None:
            report(step, loss.item())
    save_weights(model, directory / "open_clip_model.safetensors")


def prepare(images: torch.Tensor, size: int = IMAGE_SIZE) -> torch.Tensor:
    """What the model's preprocessing does to square pictures: uint8 [B, 3, H, W] to float32 [B, 3, size, size]."""
    import torch

    if images.shape[-1] != size:
        images = torch.nn.functional.interpolate(images, size=(size, size), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Writes the model's weights as float16 safetensors (counters stay integers)."""
    from safetensors.torch import save_file

    state = {k: v.detach().half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors leaves it to its owner alone, and a package is read by others


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear up over 8 % of the steps, then half a cosine down to 0."""
    warm = max(1, round(0.08 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _loss(
    model: CLIP, tokenize: Callable[[Sequence[str]], torch.Tensor], batch: dict[str, Any], rng: random.Random
) -> torch.Tensor:
    """Contrast of pictures with their captions, with captions that almost fit, and with parts of captions."""
    import torch
    from torch.nn.functional import cross_entropy

    full, true = batch["captions.text"], [frozenset(said) for said in batch["phrases"]]
    size = len(full)
    short = [rng.choice(sorted(said)) for said in true]
    missed = [near_miss(text, rng) for text in full[::2]]
    texts = [with_fillers(text, rng) for text in (*full, *short)] + missed
    texts += [nonsense(rng) for _ in range(_NONSENSE_TEXTS)]
    images: torch.Tensor = model.encode_image(
        prepare(batch["frames.image"]).contiguous(memory_format=torch.channels_last), normalize=True
    )
    words: torch.Tensor = model.encode_text(tokenize(texts), normalize=True)
    logits = model.logit_scale.exp() * images @ words.T
    whole, parts, rest = logits.split((size, size, len(texts) - 2 * size), dim=1)
    same = _target([[a == b for a in full] for b in full])
    # A picture tells its caption from all others, from near misses (its own among them) and from nonsense.
    to_text = cross_entropy(torch.cat([whole, rest], 1), torch.cat([same, torch.zeros_like(rest)], 1))
    to_image = cross_entropy(whole.T, same)
    # A short phrase is true of several pictures: it must rank all of them before the others.
    part_to_image = cross_entropy(parts.T, _target([[text in said for said in true] for text in short]))
    idle = (images @ words[-_NONSENSE_TEXTS:].T).clamp(min=0).square().mean()
    return (to_text + to_image) / 2 + part_to_image + 2 * idle


def _target(matches: list[list[bool]]) -> torch.Tensor:
    """Rows of equal shares over the matches: float32 [B, B], each row sums to 1."""
    import torch

    matrix = torch.tensor(matches, dtype=torch.float32)
    return matrix / matrix.sum(1, keepdim=True).clamp(min=1)
