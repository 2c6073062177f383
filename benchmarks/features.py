"""How much of the model's own speed is left when a feature is computed into a store?

Embeds generated 256 px JPEG frames with ViT-B/32 (random weights: the speed is the same) three ways, interleaved, in
one process: the bare forward pass on tensors that lie ready in memory; `run_feature`, from packs to a committed table;
and a plain loop over PIL and open_clip's own preprocessing, as one would write it by hand. Prints medians and the
ratios to the bare forward pass.

    python benchmarks/features.py [--json FILE] [--frames 768] [--repeats 5] [--model ViT-B-32] [--device auto]
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
import torch
from making.stored import random_clip, write_frames
from PIL import Image

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.device import resolve_device
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--frames", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
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
        stages.append({**report.stage_ms, "device_busy_share": report.device_busy_share})

    ways: dict[str, Callable[[], None]] = {"bare_forward": bare, "runner": runner, "by_hand": by_hand}
    forward(batches[0])
    runner()  # warms caches and starts the decoding processes; its shard is not counted
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
        "cpu_s_per_row_of_this_process": {
            name: round(statistics.median(s) / arguments.frames, 4) for name, s in cpu.items()
        },
        "runner_over_bare": round(rates["runner"] / rates["bare_forward"], 3),
        "by_hand_over_bare": round(rates["by_hand"] / rates["bare_forward"], 3),
        "runner_over_bare_each": [round(a / b, 3) for a, b in zip(times["bare_forward"], times["runner"], strict=True)],
        "runner_stages": {name: round(statistics.median(one[name] for one in stages), 3) for name in stages[0]},
    }


if __name__ == "__main__":
    main()
