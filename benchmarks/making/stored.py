"""Stores with generated frames, and real architectures with random weights: the speed is that of trained ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from mmfs.codecs import encode_jpeg
from mmfs.settings import ClipConfig, DepthConfig
from mmfs.store import PackWriter, Store

HEIGHT, WIDTH = 256, 341
#: Different pictures; more rows repeat their bytes.
_PICTURES = 256


def random_clip(folder: Path, name: str, batch_size: int) -> ClipConfig:
    """An open_clip architecture with random weights in a safetensors file."""
    import open_clip

    torch.manual_seed(0)
    model = open_clip.create_model(name, load_weights=False)
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return ClipConfig(model=name, pretrained=str(path), batch_size=batch_size)


def random_depth(folder: Path, batch_size: int, *, small: bool = False) -> DepthConfig:
    """Depth-Anything-V2-Small's architecture, or a tiny one of the same kind, with random weights."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    directory, heads = folder / "depth", 2 if small else 6
    hidden, side = (32, 56) if small else (384, 518)
    backbone = Dinov2Config(
        hidden_size=hidden,
        num_hidden_layers=4 if small else 12,
        num_attention_heads=heads,
        image_size=518,
        patch_size=14,
        out_indices=[1, 2, 3, 4] if small else [3, 6, 9, 12],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    sizes = [16, 16, 32, 32] if small else [48, 96, 192, 384]
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=hidden,
        neck_hidden_sizes=sizes,
        fusion_hidden_size=sizes[0] if small else 64,
    )
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(config).save_pretrained(directory)
    processor = {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(processor))
    return DepthConfig(model=str(directory), batch_size=batch_size)


def write_frames(store: Store, shard: str, frames: int) -> None:
    """Frames of smooth colours with some noise: about 18 KB of JPEG each, as photographs have."""
    rng = np.random.default_rng(int(shard))
    names = [f"{int(shard):016x}{number:016x}" for number in range(frames)]
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    jpegs = []
    for _ in range(min(frames, _PICTURES)):
        waves = [np.sin(6.28 * (rng.uniform(1, 4) * x + rng.uniform(1, 4) * y + rng.uniform())) for _ in "rgb"]
        rgb = 127 + 100 * np.stack(waves, axis=-1) + rng.normal(0, 8, (HEIGHT, WIDTH, 1))
        jpegs.append(encode_jpeg(rgb.clip(0, 255).astype(np.uint8)))
    with PackWriter(store.objects, "frames", shard) as packs:
        for number, name in enumerate(names):
            packs.add(f"{name}_000000.jpg", jpegs[number % len(jpegs)])
        refs = packs.finish()
    rows = pa.table(
        {
            "media_id": names,
            "frame_index": [0] * frames,
            "frame_width": [WIDTH] * frames,
            "frame_height": [HEIGHT] * frames,
            "fingerprint": ["generated"] * frames,
            **{key: [getattr(ref, key) for ref in refs] for key in ("pack", "offset", "length", "crc32")},
        }
    )
    store.tables.update("frames", shard, lambda _: rows)
