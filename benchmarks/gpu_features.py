"""Does the accelerator wait? Features on a GPU over the bare forward pass of the same model, batch and precision.

For ViT-B/32, ViT-L/14 and Depth-Anything-V2-Small (real architectures, random weights): the bare forward pass in bf16
on tensors that lie on the device, at the batch sizes given, the best of which fills the card; then `run_feature` at
that batch size, from 256 px JPEGs in packs to a committed table, with the share of time that the device was busy and
the bottleneck. And decoding alone: the decoding processes on the CPU against nvJPEG through torchvision.

It needs torch, torchvision, transformers and pyarrow, and this project with its core dependencies; where those are not
installed, carry their wheels:

    pip download --only-binary :all: --no-deps --dest wheels deltalake arro3-core obstore pydantic pydantic-core \\
        pydantic-settings python-dotenv typing-inspection annotated-types sqlglot simplejpeg zstandard \\
        soundfile cffi open_clip_torch ftfy wcwidth timm rich typer
    pip install --no-index --no-deps wheels/*.whl && PYTHONPATH=. python benchmarks/gpu_features.py

Without a GPU it prints that there is none and ends well; with `--device cpu --tiny` all of it runs on small sizes,
which says nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from making.stored import HEIGHT, WIDTH, random_clip, random_depth, write_frames

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.decoding.pool import decode_pool
from mmfs.features.depth import DepthMaps
from mmfs.features.feature import Feature
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store, refs_of

#: Goals: rows a second of the runner over those of the bare forward pass.
GOALS = {"ViT-L-14": 0.97, "depth": 0.95, "ViT-B-32": 0.8}
_TASK_ROWS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--frames", type=int, default=8192, help="rows of a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--models", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--workers", type=int, help="decoding processes; default: one a core, at most 16")
    parser.add_argument("--tiny", action="store_true", help="a few rows of small models, to see that it works")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    device, frames = arguments.device, 48 if arguments.tiny else arguments.frames
    sizes = [8, 16] if arguments.tiny else arguments.batch_sizes
    models = ["RN50", "depth"] if arguments.tiny else arguments.models
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "frames": frames,
        "decoding": decoding(folder, device, frames, arguments.workers),
    }
    for name in models:
        place = folder / name
        place.mkdir()
        if name == "depth":
            feature: Feature = DepthMaps(random_depth(place, sizes[0], small=arguments.tiny))
        else:
            feature = ClipEmbeddings(random_clip(place, name, sizes[0]))
        feature.load(device)
        result[name] = model_figures(feature, place, device, frames, sizes, arguments) | {"goal": GOALS.get(name)}
        print(name, json.dumps(result[name]), file=sys.stderr)
    return result


def model_figures(
    feature: Feature, folder: Path, device: str, frames: int, sizes: list[int], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Bare forward and runner of one model, interleaved."""
    bare_rates = {size: bare(feature, device, size, rows=min(frames, 4096)) for size in sizes}
    best = max(bare_rates, key=lambda size: bare_rates[size])
    feature.batch_size = best
    settings = Settings(device=device, **({"workers": arguments.workers} if arguments.workers else {}))
    store = Store.open(folder / "store", settings=settings)
    for number in range(arguments.repeats + 1):
        write_frames(store, f"{number:06d}", frames)
    run_feature(store, feature, "000000", device=device)  # warms allocator, caches and processes
    ratios, reports = [], []
    for number in range(1, arguments.repeats + 1):
        rate = bare(feature, device, best, rows=min(frames, 4096))
        report = run_feature(store, feature, f"{number:06d}", device=device)
        assert report.computed == frames
        ratios.append(report.rows_per_s / rate)
        reports.append(report)
    middle = sorted(reports, key=lambda report: report.rows_per_s)[len(reports) // 2]
    return {
        "batch_size": best,
        "bare_rows_per_s": {size: round(rate, 1) for size, rate in bare_rates.items()},
        "runner_rows_per_s": round(middle.rows_per_s, 1),
        "runner_over_bare": round(statistics.median(ratios), 3),
        "runner_over_bare_each": [round(ratio, 3) for ratio in ratios],
        "device_busy_share": round(middle.device_busy_share, 3),
        "queue_depth": round(middle.queue_depth, 2),
        "stage_ms": {name: round(value, 4) for name, value in middle.stage_ms.items()},
        "bottleneck": middle.bottleneck,
    }


def bare(feature: Feature, device: str, batch_size: int, rows: int) -> float:
    """Rows a second of `compute` alone, on a prepared batch that lies on the device."""
    pictures = torch.randint(0, 256, (batch_size, 3, HEIGHT, WIDTH), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        batch = feature.prepare({"frames.image": pictures})
        times = max(2, rows // batch_size)
        for _ in range(2):
            feature.compute(dict(batch))
        return times * batch_size / _seconds(device, lambda: [feature.compute(dict(batch)) for _ in range(times)])


def decoding(folder: Path, device: str, frames: int, workers: int | None) -> dict[str, Any]:
    """JPEGs decoded a second: by the decoding processes, and by nvJPEG where there is a GPU."""
    store = Store.open(folder / "decoding")
    write_frames(store, "000000", frames)
    table = store.tables.read("frames")
    told = [("jpeg", ref.pack, ref.offset, ref.length, ref.crc32) for ref in refs_of(table)]
    tasks = [told[start : start + _TASK_ROWS] for start in range(0, frames, _TASK_ROWS)]
    import os

    count = workers or min(os.cpu_count() or 1, 16)
    with decode_pool(count) as pool:

        def run() -> None:
            waiting = [pool.submit(store.url, task) for task in tasks[: pool.depth]]
            for number in range(len(tasks)):
                task = waiting[number]
                pool.release(pool.result(task))
                if len(waiting) < len(tasks):
                    waiting.append(pool.submit(store.url, tasks[len(waiting)]))

        run()  # starts the processes
        result: dict[str, Any] = {"processes": count, "cpu_rows_per_s": round(frames / _seconds("cpu", run), 1)}
    if device != "cpu":
        from torchvision.io import decode_jpeg

        data = [torch.frombuffer(bytearray(blob), dtype=torch.uint8) for blob in store.blobs("frames", table)]

        def on_device() -> None:
            for start in range(0, frames, 256):
                decode_jpeg(data[start : start + 256], device=device)

        on_device()
        result["nvjpeg_rows_per_s"] = round(frames / _seconds(device, on_device), 1)
        result["nvjpeg_over_cpu"] = round(result["nvjpeg_rows_per_s"] / result["cpu_rows_per_s"], 2)
    return result


def _seconds(device: str, work: Callable[[], object]) -> float:
    if device != "cpu":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
