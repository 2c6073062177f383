"""Tiny models with random weights, and stores with generated frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmfs.codecs import encode_jpeg
from mmfs.store import Store
from mmfs.store.packs import PackWriter

SHARD = "000001"
DIM = 16


def media_id(number: int) -> str:
    """A media id, ascending with the number."""
    return f"{number:032x}"


def picture(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A picture of smooth colours, uint8 [H, W, 3], another one for each number."""
    height, width = size
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = []
    for _ in "rgb":
        across, down, start = rng.uniform(0.5, 2), rng.uniform(0.5, 2), rng.uniform()
        waves.append(127 + 120 * np.sin(2 * np.pi * (across * x + down * y + start)))
    return np.stack(waves, axis=-1).astype(np.uint8)


def add_frames(
    store: Store,
    numbers: Sequence[int],
    *,
    shard: str = SHARD,
    sizes: Sequence[tuple[int, int]] = ((48, 64),),
    fingerprint: str = "frames-1",
) -> None:
    """Make these the frames of a shard: one frame a media, its picture chosen by the number."""
    with PackWriter(store.objects, "frames", shard) as packs:
        for number in numbers:
            packs.add(f"{media_id(number)}_000000.jpg", encode_jpeg(picture(number, sizes[number % len(sizes)])))
        refs = packs.finish()
    rows = [
        {
            "media_id": media_id(number),
            "frame_index": 0,
            "pts_us": 0,
            "time_s": 0.0,
            "frame_width": sizes[number % len(sizes)][1],
            "frame_height": sizes[number % len(sizes)][0],
            "is_keyframe": True,
            "pack": ref.pack,
            "offset": ref.offset,
            "length": ref.length,
            "crc32": ref.crc32,
            "fingerprint": fingerprint,
        }
        for number, ref in zip(numbers, refs, strict=True)
    ]
    schema = pa.schema([f for f in store.tables.spec("frames").arrow_schema() if f.name != "shard"])
    store.tables.update("frames", shard, lambda _: pa.Table.from_pylist(rows, schema=schema))


def write_clip(directory: Path, seed: int = 0, *, dim: int = DIM, fill: float | None = None) -> Path:
    """A CLIP model for 32-pixel pictures in open_clip's local-dir form."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    model_cfg = {
        "embed_dim": dim,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    config = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.CLIP(**model_cfg)
    if fill is not None:
        model.visual.proj.data.fill_(fill)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / "open_clip_model.safetensors")
    return directory


def write_depth(directory: Path, seed: int = 0) -> Path:
    """A GLPN model with a few thousand weights in transformers' form."""
    import torch
    from transformers import GLPNConfig, GLPNForDepthEstimation, GLPNImageProcessor

    torch.manual_seed(seed)
    config = GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
        mlp_ratios=[2, 2, 2, 2],
        max_depth=10,
    )
    GLPNForDepthEstimation(config).save_pretrained(directory)
    GLPNImageProcessor().save_pretrained(directory)
    return directory
