"""How much of a JPEG decoder's own speed is left when a training loop asks for batches?

Makes frames of 256 x 256 pixels (about 18 KB of JPEG each) in a store, 64 a video. Then, interleaved, shuffled, in
batches of 256: two threads of bare simplejpeg over the same bytes in memory, thrown away; the loader with two threads,
checksums on, from pin to uint8 tensors; and webdataset over the same packs, decoding with simplejpeg too, without and
with two worker processes (started before the clock). The same again for stored bytes without decoding, and for a
1 % subset. Prints medians and ratios. Samples per CPU-second say the same when the machine is shared.

    python benchmarks/loader.py [--json FILE] [--videos 64] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg
import torch
import webdataset

from mmfs.codecs import encode_jpeg
from mmfs.loader import Loader
from mmfs.settings import Settings
from mmfs.store import PackWriter, Store
from mmfs.store.pins import Pins

SIZE, FRAMES_A_VIDEO, SHARDS, BATCH, THREADS = 256, 64, 8, 256, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians of interleaved repeats, in samples a second and a CPU-second, and their ratios."""
    store = Store.open(folder / "store", settings=Settings())
    write_frames(store, arguments.videos)
    pin = Pins(store).create("all", columns=["frames.image"], now_us=0)
    rows = store.tables.read("frames")
    blobs = store.blobs("frames", rows)
    packs = [str(store.objects.local_path(path)) for path in pin.tables["frames"].packs]
    decoding = Loader(store, pin, batch_size=BATCH, threads=THREADS)
    raw = Loader(store, pin, batch_size=BATCH, threads=THREADS, decode=False)
    decode: dict[str, Callable[[], int]] = {
        "bare_simplejpeg_2_threads": lambda: bare(blobs),
        "loader": lambda: samples(decoding),
        "webdataset_0_workers": from_packs(packs, decoded=True, workers=0),
        "webdataset_2_workers": from_packs(packs, decoded=True, workers=2),
    }
    stored: dict[str, Callable[[], int]] = {
        "loader": lambda: samples(raw),
        "webdataset_0_workers": from_packs(packs, decoded=False, workers=0),
        "webdataset_2_workers": from_packs(packs, decoded=False, workers=2),
    }
    decoded_rates = race(decode, len(blobs), arguments.repeats)
    stored_rates = race(stored, len(blobs), arguments.repeats)
    best = {
        name: max(rates["webdataset_0_workers"]["per_s"], rates["webdataset_2_workers"]["per_s"])
        for name, rates in (("decode", decoded_rates), ("stored", stored_rates))
    }
    bare_rate, loader_rate = decoded_rates["bare_simplejpeg_2_threads"], decoded_rates["loader"]
    return {
        "samples": len(blobs),
        "mean_bytes": round(sum(map(len, blobs)) / len(blobs)),
        "batch_size": BATCH,
        "decode": decoded_rates,
        "decode_loader_over_bare": round(loader_rate["per_s"] / bare_rate["per_s"], 3),
        "decode_loader_over_bare_per_cpu_s": round(loader_rate["per_cpu_s"] / bare_rate["per_cpu_s"], 3),
        "decode_loader_over_webdataset_best": round(loader_rate["per_s"] / best["decode"], 2),
        "stored": stored_rates,
        "stored_loader_over_webdataset_best": round(stored_rates["loader"]["per_s"] / best["stored"], 2),
        "subset": subset(store, len(blobs)),
        "distinct_videos_in_a_batch_of_64_over_ideal": distinct_videos(store, pin, arguments.videos),
    }


def race(ways: dict[str, Callable[[], int]], count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Run each way once to warm up, then all in turn; medians. CPU-seconds leave out those of worker processes."""
    for way in ways.values():
        way()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began, cpu = time.perf_counter(), time.process_time()
            delivered = way()
            times[name].append((time.perf_counter() - began, time.process_time() - cpu))
            assert delivered == count, (name, delivered, count)
    found = {}
    for name, both in times.items():
        found[name] = {"per_s": round(count / statistics.median(wall for wall, _ in both))}
        if not name.endswith("2_workers"):
            found[name]["per_cpu_s"] = round(count / statistics.median(cpu for _, cpu in both))
    return found


def samples(loader: Loader) -> int:
    """One epoch; the number of valid samples."""
    return sum(int(batch["_valid"].sum()) for batch in loader)


def bare(blobs: Sequence[bytes]) -> int:
    """Decode all, keep nothing."""

    def some(part: Sequence[bytes]) -> int:
        for blob in part:
            simplejpeg.decode_jpeg(blob, colorspace="RGB")
        return len(part)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(some, [blobs[start::THREADS] for start in range(THREADS)]))


def from_packs(packs: list[str], *, decoded: bool, workers: int) -> Callable[[], int]:
    """An epoch of webdataset over the packs, as fast as it goes: own decoding, batches made in the workers."""
    dataset = webdataset.WebDataset(packs, shardshuffle=len(packs), seed=0).shuffle(1000).to_tuple("jpg")
    dataset = dataset.map_tuple(decoded_picture) if decoded else dataset
    dataset = dataset.batched(BATCH, collation_fn=stacked if decoded else list, partial=True)
    loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    return lambda: sum(len(batch) for batch in loader)


def decoded_picture(data: bytes) -> np.ndarray[Any, Any]:
    pixels: np.ndarray[Any, Any] = simplejpeg.decode_jpeg(data, colorspace="RGB")
    return pixels


def stacked(rows: Iterable[tuple[np.ndarray[Any, Any]]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels for (pixels,) in rows])).permute(0, 3, 1, 2)


def subset(store: Store, count: int) -> dict[str, float]:
    """A scattered 1 %: seconds from a new loader to its last batch, and bytes read over bytes wanted."""
    pin = Pins(store).create("sparse", columns=["frames.image"], where="frame_index = 7", now_us=0)
    rows = store.tables.read("frames", columns=["frame_index", "length"])
    index, length = rows["frame_index"].to_numpy(), rows["length"].to_numpy()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        loader = Loader(store, pin, batch_size=pin.samples, threads=THREADS, decode=False)
        samples(loader)
        seconds.append(time.perf_counter() - began)
    return {
        "share": round(pin.samples / count, 4),
        "cold_s": round(statistics.median(seconds), 4),
        "bytes_over_wanted": round(loader.stats().bytes_read / int(length[index == 7].sum()), 3),
    }


def distinct_videos(store: Store, pin: Any, videos: int) -> dict[str, float]:
    """How well batches are mixed: distinct videos among 64 samples of a rank, over what random draws give."""
    ideal = videos * (1 - (1 - 1 / videos) ** 64)
    found = {}
    for world_size in (1, 8, 64):
        loader = Loader(
            store, pin, batch_size=64, rank=0, world_size=world_size, decode=False, drop_last=world_size == 1
        )
        each = [len({key.split(":")[0] for key in batch["_key"]}) for batch in loader if bool(batch["_valid"].all())]
        if each:
            found[f"world_{world_size}"] = round(statistics.mean(each) / ideal, 3)
    return found


def write_frames(store: Store, videos: int) -> None:
    """Frames of smooth colours with some noise, as many bytes as photographs have."""
    y, x = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    for shard in range(SHARDS):
        rng = np.random.default_rng(shard)
        keys = [(video, frame) for video in range(shard, videos, SHARDS) for frame in range(FRAMES_A_VIDEO)]
        name = f"{shard:06d}"
        with PackWriter(store.objects, "frames", name) as packs:
            for video, frame in keys:
                phases = [zlib.crc32(b"%d%c" % (video, c)) / 2**32 for c in b"rgb"]
                waves = [np.sin(6.28 * (2 * x + 3 * y + phase + frame / 64)) for phase in phases]
                noise = rng.normal(0, 9, (SIZE, SIZE, 1))
                rgb = (127 + 90 * np.stack(waves, axis=-1) + noise).clip(0, 255).astype(np.uint8)
                packs.add(f"{video:032x}_{frame:06d}.jpg", encode_jpeg(rgb, quality=85))
            refs = packs.finish()
        rows = pa.table(
            {
                "media_id": [f"{video:032x}" for video, _ in keys],
                "frame_index": [frame for _, frame in keys],
                "fingerprint": ["generated"] * len(keys),
                **{key: [getattr(ref, key) for ref in refs] for key in ("pack", "offset", "length", "crc32")},
            }
        )
        store.tables.update("frames", name, lambda _, rows=rows: rows)


if __name__ == "__main__":
    main()
