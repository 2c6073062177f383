"""How much of the model's own speed is left when a feature is computed into a store?

Embeds generated JPEG frames with ViT-B/32 (random weights: the speed is the same) three ways, interleaved, in one
process: the bare forward pass on tensors that lie ready in memory; `run_feature`, from packs to a committed table; and
a plain loop over PIL and open_clip's own preprocessing, as one would write it by hand. Prints medians and the ratios
to the bare forward pass.

    python benchmarks/features.py [--json FILE] [--frames 192] [--repeats 3] [--model ViT-B-32] [--device auto]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import torch
from PIL import Image
from safetensors.torch import save_file

from mmfs.codecs import encode_jpeg
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.device import resolve_device
from mmfs.features.runner import run_feature
from mmfs.settings import ClipConfig, Settings
from mmfs.store import PackWriter, Store

HEIGHT, WIDTH = 256, 341


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--frames", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians of interleaved repeats, in rows a second, and their ratios."""
    device, batch_size = resolve_device(arguments.device), arguments.batch_size
    feature = ClipEmbeddings(random_clip(folder, arguments.model, batch_size))
    feature.load(device)
    store = Store.open(folder / "store", settings=Settings(clip=feature.config, device=device))
    shards = [f"{number:06d}" for number in range(arguments.repeats + 1)]
    for shard in shards:
        write_frames(store, shard, arguments.frames)
    blobs = store.blobs("frames", store.tables.read("frames", shard=shards[0]))
    model, _, preprocess = open_clip.create_model_and_transforms(
        arguments.model, pretrained=feature.config.pretrained, device=device
    )
    model.eval()
    ready = [preprocess(Image.open(io.BytesIO(blob))) for blob in blobs]
    batches = [torch.stack(ready[i : i + batch_size]).to(device) for i in range(0, len(ready), batch_size)]

    def forward(pixels: torch.Tensor) -> np.ndarray[Any, Any]:
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=device != "cpu"):
            return np.asarray(model.encode_image(pixels, normalize=True).float().cpu().numpy())

    def bare() -> None:
        for batch in batches:
            forward(batch)

    def by_hand() -> None:
        for start in range(0, len(blobs), batch_size):
            pictures = [preprocess(Image.open(io.BytesIO(blob))) for blob in blobs[start : start + batch_size]]
            forward(torch.stack(pictures).to(device))

    remaining = iter(shards)
    stages: list[dict[str, float]] = []

    def runner() -> None:
        report = run_feature(store, feature, next(remaining), device=device)
        assert report.computed == arguments.frames
        stages.append({"read_s": report.read_s, "model_s": report.model_s, "write_s": report.write_s})

    ways: dict[str, Callable[[], None]] = {"bare_forward": bare, "runner": runner, "by_hand": by_hand}
    forward(batches[0])
    runner()  # warms caches; its shard is not counted
    stages.clear()
    times: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            began, cpu_began = time.perf_counter(), time.process_time()
            way()
            times[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - cpu_began)
    rates = {name: arguments.frames / statistics.median(found) for name, found in times.items()}
    return {
        "model": arguments.model,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
        "frames": arguments.frames,
        "batch_size": batch_size,
        "rows_per_s": {name: round(rate, 2) for name, rate in rates.items()},
        "cpu_s_per_row": {name: round(statistics.median(s) / arguments.frames, 4) for name, s in cpu.items()},
        "runner_over_bare": round(rates["runner"] / rates["bare_forward"], 3),
        "by_hand_over_bare": round(rates["by_hand"] / rates["bare_forward"], 3),
        "runner_over_bare_each": [round(a / b, 3) for a, b in zip(times["bare_forward"], times["runner"], strict=True)],
        "runner_stages_s": {
            name: round(statistics.median(one[name] for one in stages), 3) for name in ("read_s", "model_s", "write_s")
        },
    }


def random_clip(folder: Path, name: str, batch_size: int) -> ClipConfig:
    """The architecture with random weights in a safetensors file."""
    torch.manual_seed(0)
    model = open_clip.create_model(name, load_weights=False)
    path = folder / "random.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return ClipConfig(model=name, pretrained=str(path), batch_size=batch_size)


def write_frames(store: Store, shard: str, frames: int) -> None:
    """Frames of smooth colours with some noise: about 18 KB of JPEG each, as photographs have."""
    rng = np.random.default_rng(int(shard))
    names = [f"{int(shard):016x}{number:016x}" for number in range(frames)]
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    with PackWriter(store.objects, "frames", shard) as packs:
        for name in names:
            waves = [np.sin(6.28 * (rng.uniform(1, 4) * x + rng.uniform(1, 4) * y + rng.uniform())) for _ in "rgb"]
            rgb = 127 + 100 * np.stack(waves, axis=-1) + rng.normal(0, 8, (HEIGHT, WIDTH, 1))
            packs.add(f"{name}_000000.jpg", encode_jpeg(rgb.clip(0, 255).astype(np.uint8)))
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


if __name__ == "__main__":
    main()
