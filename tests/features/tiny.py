"""Tiny models with random weights, and stores with generated frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmfs.codecs import encode_flac, encode_jpeg
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
    per_media: int = 1,
    bytes_of: Callable[[int], bytes] | None = None,
) -> None:
    """Make these the frames of a shard: ``per_media`` neighbouring numbers a media, the picture chosen by the number.

    Args:
        bytes_of: What is stored for a number; default: the picture as JPEG.
    """
    jpeg_of = bytes_of or (lambda number: encode_jpeg(picture(number, sizes[number % len(sizes)])))
    keys = [(media_id(number // per_media), number % per_media) for number in numbers]
    with PackWriter(store.objects, "frames", shard) as packs:
        for number, (media, index) in zip(numbers, keys, strict=True):
            packs.add(f"{media}_{index:06d}.jpg", jpeg_of(number))
        refs = packs.finish()
    rows = [
        {
            "media_id": media,
            "frame_index": index,
            "pts_us": index * 1_000_000,
            "time_s": float(index),
            "frame_width": sizes[number % len(sizes)][1],
            "frame_height": sizes[number % len(sizes)][0],
            "is_keyframe": True,
            "pack": ref.pack,
            "offset": ref.offset,
            "length": ref.length,
            "crc32": ref.crc32,
            "fingerprint": fingerprint,
        }
        for number, (media, index), ref in zip(numbers, keys, refs, strict=True)
    ]
    schema = pa.schema([f for f in store.tables.spec("frames").arrow_schema() if f.name != "shard"])
    store.tables.update("frames", shard, lambda _: pa.Table.from_pylist(rows, schema=schema))


def add_captions(store: Store, texts: Sequence[Sequence[str]], *, shard: str = SHARD) -> None:
    """Make these the captions of a shard: several texts for each media, the first of number 0."""
    rows = [
        {"media_id": media_id(number), "caption_index": index, "text": text, "source": "list", "fingerprint": "c"}
        for number, own in enumerate(texts)
        for index, text in enumerate(own)
    ]
    store.tables.update("captions", shard, lambda _: pa.Table.from_pylist(rows))


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


def add_sounds(
    store: Store, sounds: Mapping[tuple[int, int], np.ndarray], *, rate: int = 16_000, shard: str = SHARD
) -> None:
    """Make these the windows of sound of a shard: float32 [C, T] by number of the media and index, ascending."""
    with PackWriter(store.objects, "audio_windows", shard) as packs:
        for (number, index), sound in sounds.items():
            packs.add(f"{media_id(number)}_{index:06d}.flac", encode_flac(sound, rate))
        refs = packs.finish()
    rows = [
        {
            "media_id": media_id(number),
            "window_index": index,
            "start_s": float(index),
            "end_s": index + sound.shape[1] / rate,
            "sample_rate_hz": rate,
            "channels": len(sound),
            "pack": ref.pack,
            "offset": ref.offset,
            "length": ref.length,
            "crc32": ref.crc32,
            "fingerprint": "sounds-1",
        }
        for ((number, index), sound), ref in zip(sounds.items(), refs, strict=True)
    ]
    schema = pa.schema([f for f in store.tables.spec("audio_windows").arrow_schema() if f.name != "shard"])
    store.tables.update("audio_windows", shard, lambda _: pa.Table.from_pylist(rows, schema=schema))
