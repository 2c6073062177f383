"""Does curation find what was planted, and what does it cost beside comparing all with all?

Pictures are drawn (noise of several octaves, as in photographs most of the light is coarse), some are copied as the web
copies them: encoded again, made smaller, slightly cropped; others get a foreign patch and are no duplicates. Hashes are
those of the feature frame_quality. Vectors are random projections of thumbnails: a stand-in that knows no objects, so
that nothing here depends on the weights of a model.

With ``--scale`` vectors alone are drawn, around 1,000 centres, two of a hundred copied with a little noise: what calls
cost in time and memory where there are many, and whether every copied pair is found. Near duplicates, outliers and the
diverse choice are compared with the plain way, NumPy over all pairs, on the same vectors in the same run. Times are CPU
seconds of the process: a busy machine changes their ratios little (set OMP_NUM_THREADS=1: waiting threads count too).

    python benchmarks/curation.py [--json FILE] [--rows 50000] [--dim 512] [--scale] [--skip-plain]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg
import torch

from mmfs.client import FeatureStore
from mmfs.curation import DuplicateRule, duplicates, figures_of
from mmfs.features.fingerprint import FingerprintParts, recorded_parts
from mmfs.features.quality import FrameQuality
from mmfs.features.tablespec import table_of
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.settings import Settings
from mmfs.store import Store

TABLE = "clip_embeddings"
SHARDS = 8
SIDE = 128
BATCH = 256
#: Share of pictures that have a copy, and that have a sibling which is none.
COPIED, SIBLINGS = 0.04, 0.04
BARS = {"recall": 0.98, "precision": 0.99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--skip-plain", action="store_true", help="with --scale: do not time the plain ways")
    parser.add_argument("--scale", action="store_true", help="draw vectors alone, for many rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.scale:
            result = at_scale(arguments.rows, arguments.dim, Path(folder), plain=not arguments.skip_plain)
        else:
            result = measure(arguments.rows, arguments.dim, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(rows: int, dim: int, folder: Path) -> dict[str, Any]:
    """Quality of near duplicates of pictures, by hashes, by vectors and by both."""
    vectors, hashes, blank, origin = planted(rows, dim)
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors, hashes, blank)
    ways = {
        "hashes": DuplicateRule(threshold=None),
        "vectors": DuplicateRule(max_hamming=None),
        "both": DuplicateRule(),
    }
    quality = {}
    for name, rule in ways.items():
        cpu_s, found = timed(lambda rule=rule: duplicates(store, rule))
        quality[name] = judged(found, origin) | {"cpu_s": round(cpu_s, 2)}
    return {
        "rows": rows,
        "dim": dim,
        "planted_pairs": pairs_of(origin),
        "near_duplicates": quality,
        "meets_bars": all(quality["both"][name] >= bar for name, bar in BARS.items()),
    }


def at_scale(rows: int, dim: int, folder: Path, *, plain: bool) -> dict[str, Any]:
    """Seconds of every call over vectors; recall of copied pairs; memory above that of the program and its input."""
    answers: dict[str, pa.Table] = {}
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(1000, dim)).astype(np.float32)
    origin = np.arange(rows)
    vectors = np.empty((rows, dim), np.float16)
    for start in range(0, rows, 10_000):
        here = np.arange(start, min(start + 10_000, rows))
        made = centres[draw.integers(0, 1000, len(here))] + 0.9 * draw.normal(size=(len(here), dim)).astype(np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        late = np.flatnonzero(draw.random(len(here)) < 0.02) if start else np.empty(0, np.int64)
        origin[here[late]] = draw.choice(start, len(late), replace=False) if start else here[late]
        noise = draw.normal(size=(len(late), dim)) * (0.2 / dim**0.5)
        made[late] = vectors[origin[here[late]]].astype(np.float32) + noise
        vectors[here] = made / np.linalg.norm(made, axis=1, keepdims=True)
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors, draw.integers(0, 2**62, rows), np.zeros(rows, bool))
    lab, before = FeatureStore(store), peak_mb()
    calls: dict[str, Callable[[], pa.Table]] = {
        "duplicates by vectors": lambda: lab.curate.duplicates(max_hamming=None),
        "duplicates by hashes": lambda: lab.curate.duplicates(threshold=None),
        "clusters 100": lambda: lab.curate.clusters(100),
        "diverse 1000": lambda: lab.curate.diverse(1000),
        "outliers": lambda: lab.curate.outliers(100, 10),
    }
    seconds, figures = {}, {}
    for name, call in calls.items():
        seconds[name], found = timed(call)
        answers[name] = found
        figures[name] = {key: value for key, value in figures_of(found).items() if key != "sizes"}
        if name == "duplicates by vectors":
            figures[name] |= judged(found, roots(origin))
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr, flush=True)
    result: dict[str, Any] = {
        "rows": rows,
        "dim": dim,
        "cpu_s": {name: round(value, 2) for name, value in seconds.items()},
        "figures": figures,
        "vectors_mb": round(rows * dim * 4 / 2**20),
        "memory_added_mb": round(peak_mb() - before),
    }
    if plain:
        wide = vectors.astype(np.float32)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        result["plain"] = compared(wide, seconds, answers["outliers"], answers["diverse 1000"])
    return result


def roots(origin: np.ndarray) -> np.ndarray:
    """What each row is a copy of in the end; every row is a copy of an earlier one, or of itself."""
    while not np.array_equal(origin[origin], origin):
        origin = origin[origin]
    return origin


def compared(vectors: np.ndarray, seconds: dict[str, float], far: pa.Table, spread: pa.Table) -> dict[str, Any]:
    """The plain ways: their CPU seconds, how many times ours they take, and whether they find the same."""
    pairs_s, pairs = timed(lambda: plain_pairs(vectors, 0.95))
    kth_s, kth = timed(lambda: plain_kth(vectors, 10))
    centre_s, radius = timed(lambda: plain_spread(vectors, 1000, first=int(spread["media_id"][0].as_py(), 16)))
    worst = np.sort(1 - kth)[::-1][:100]
    return {
        "all_pairs": {
            "cpu_s": round(pairs_s, 2),
            "times_ours": times(pairs_s, seconds["duplicates by vectors"]),
            "pairs": pairs,
        },
        "outliers": {
            "cpu_s": round(kth_s, 2),
            "times_ours": times(kth_s, seconds["outliers"]),
            "same": bool(np.allclose(worst, far["score"].to_pylist(), atol=1e-4)),
        },
        "diverse": {
            "cpu_s": round(centre_s, 2),
            "times_ours": times(centre_s, seconds["diverse 1000"]),
            "same_radius": abs(radius - figures_of(spread)["radius"]) < 1e-4,
        },
    }


def planted(rows: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors float32 [n, dim], hashes int64 [n], blank bool [n], and which picture each is a copy of, int64 [n]."""
    draw = np.random.default_rng(0)
    projection = draw.normal(size=(3 * 16 * 16, dim)).astype(np.float32)
    quality = FrameQuality()
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    origin: list[int] = []
    for pictures, names in drawn(rows, draw):
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        prepared = quality.prepare({"frames.image": images, "frames.image@previous": images})
        out = quality.compute(prepared)
        small = torch.nn.functional.interpolate(images.float(), size=(16, 16), mode="area").numpy()
        small = (small - small.mean(axis=(2, 3), keepdims=True)).reshape(len(small), -1)
        seen = small @ projection
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        found.append((seen, out["phash"].numpy(), out["is_blank"].numpy()))
        origin += names
    vectors, hashes, blank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    mixed = draw.permutation(len(origin))
    return vectors[mixed], hashes[mixed], blank[mixed], np.array(origin)[mixed]


def drawn(rows: int, draw: np.random.Generator) -> Iterator[tuple[list[np.ndarray], list[int]]]:
    """Batches of pictures uint8 [SIDE, SIDE, 3], each decoded from JPEG, and the picture that each is a copy of."""
    made = number = 0
    while made < rows:
        plain = octaves(min(BATCH, rows - made), draw)
        pictures, names = [], []
        for position, picture in enumerate(plain):
            pictures.append(again(picture, 90))
            names.append(number)
            chance = draw.random()
            if chance < COPIED:
                pictures.append(copied(picture, draw))
                names.append(number)
            elif chance < COPIED + SIBLINGS:
                number += 1
                pictures.append(again(patched(picture, plain[position - 1], draw), 90))
                names.append(number)
            number += 1
        yield pictures[: rows - made], names[: rows - made]
        made += len(pictures)


def octaves(count: int, draw: np.random.Generator) -> np.ndarray:
    """Pictures of noise, coarse strongest: uint8 [count, SIDE, SIDE, 3]."""
    total = torch.zeros(count, 3, SIDE, SIDE)
    for side, weight in ((2, 40.0), (4, 40.0), (8, 25.0), (16, 15.0), (32, 8.0), (64, 4.0)):
        grid = torch.from_numpy(draw.normal(size=(count, 3, side, side)).astype(np.float32))
        grid = 0.7 * grid.mean(1, keepdim=True) * 1.7 + 0.5 * grid  # colours go together, as they do in light
        total += weight * torch.nn.functional.interpolate(grid, size=(SIDE, SIDE), mode="bicubic")
    return (total + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def copied(picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A copy as the web makes them: cropped by up to 3 % a side, or made smaller, and encoded again."""
    kind = draw.integers(3)
    if kind == 0:
        return again(picture, int(draw.integers(50, 80)))
    if kind == 1:
        side = int(SIDE * draw.uniform(0.4, 0.8))
        return resized(again(resized(picture, side), 80))
    edges = draw.integers(0, 1 + round(0.03 * SIDE), 4)
    return resized(again(picture[edges[0] : SIDE - edges[1], edges[2] : SIDE - edges[3]], 80))


def patched(picture: np.ndarray, other: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The picture with something else in front of a quarter of it."""
    side = SIDE // 2
    top, left = draw.integers(0, SIDE - side, 2)
    made = picture.copy()
    made[top : top + side, left : left + side] = other[top : top + side, left : left + side]
    return made


def again(picture: np.ndarray, quality: int) -> np.ndarray:
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=quality))


def resized(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    made = torch.nn.functional.interpolate(image, size=(side, side), mode="bicubic", antialias=True)
    return made[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def judged(found: pa.Table, origin: np.ndarray) -> dict[str, Any]:
    """Pairs that share a group against pairs that share an origin."""
    media = np.array([int(name, 16) for name in found["media_id"].to_pylist()])
    group = np.unique(np.array(found["group_key"].to_pylist()), return_inverse=True)[1]
    truth = origin[media]
    together = pairs_of(group)
    right = pairs_of(group.astype(np.int64) * (int(truth.max()) + 1) + truth)
    return {
        "pairs": together,
        "recall": round(right / pairs_of(truth), 4),
        "precision": round(right / max(1, together), 4),
        "every_pair_compared": figures_of(found)["every_pair_compared"],
    }


def pairs_of(names: np.ndarray) -> int:
    """How many pairs share a name."""
    sizes = np.unique(names, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def plain_pairs(vectors: np.ndarray, least: float) -> int:
    return sum(
        int(np.triu(vectors[start : start + 1024] @ vectors[start:].T >= least, 1).sum())
        for start in range(0, len(vectors), 1024)
    )


def plain_kth(vectors: np.ndarray, k: int) -> np.ndarray:
    found = []
    for start in range(0, len(vectors), 1024):
        close = vectors[start : start + 1024] @ vectors.T
        close[np.arange(len(close)), start + np.arange(len(close))] = -np.inf
        found.append(np.partition(close, close.shape[1] - k, axis=1)[:, -k])
    return np.concatenate(found)


def plain_spread(vectors: np.ndarray, count: int, first: int) -> float:
    distance, chosen = np.full(len(vectors), np.inf, np.float32), first
    for _ in range(count):
        np.minimum(distance, 1 - vectors @ vectors[chosen], out=distance)
        chosen = int(distance.argmax())
    return float(distance.max())


def write(store: Store, vectors: np.ndarray, hashes: np.ndarray, blank: np.ndarray) -> None:
    """Media, frames, vectors and hashes in `SHARDS` shards; media ``n`` is row ``n``."""
    dim = vectors.shape[1]
    store.tables.ensure(feature_table(TABLE, "V.", "frame", (vector_column("vector", "V.", VectorType(dim)),)))
    store.tables.ensure(table_of(FrameQuality()))
    info = recorded_parts(FingerprintParts("a", "b", "c", "d")) | {"model": "random projection of thumbnails"}
    for shard, part in enumerate(np.array_split(np.arange(len(vectors)), SHARDS)):
        keys = {
            "media_id": [f"{number:032x}" for number in part],
            "frame_index": pa.array([0] * len(part), pa.int64()),
            "fingerprint": ["f"] * len(part),
        }
        half = pa.array(vectors[part].astype(np.float16).ravel(), pa.float16())
        more = {
            "raw_media": {"media_id": keys["media_id"], "kind": ["image"] * len(part)},
            "frames": keys,
            TABLE: {**keys, "vector": pa.FixedSizeListArray.from_arrays(half, dim)},
            "frame_quality": {
                **keys,
                "phash": pa.array(hashes[part], pa.int64()),
                "is_blank": pa.array(blank[part], pa.bool_()),
                "brightness": pa.array((hashes[part] % 256).astype(np.float32)),
            },
        }
        for name, columns in more.items():
            planned = store.tables.state(name, f"{shard:06d}")
            store.tables.replace(name, f"{shard:06d}", pa.table(columns), planned=planned, info=info)


def times(plain_s: float, ours_s: float) -> float:
    return round(plain_s / max(ours_s, 1e-9), 2)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and its result."""
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
