"""What does the whole demo read from S3, the first time and again? And what does a refresh of an index send?

Media, store, packs, tables, pins and search index are in buckets of an S3 server on this machine (moto), whose answers
are counted. The demo runs twice; the second time nothing has changed. Media are pictures and clips of rendered scenes
under one prefix. Requests are counted for a store of several shards, by what they are about, and given a shard: over a
network each costs milliseconds. Then an index of 30,000 vectors gets ten more rows, and the bytes of the new build that
lie in the bucket are those that were sent.

    python benchmarks/orchestration_s3.py [--json FILE] [--quick] [--pictures 48] [--clips 4] [--shard 8]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS

import numpy as np
import pyarrow as pa
from measuring.goals import goal, table
from rich.console import Console

import mmfs.cli.output
from mmfs.media.scenes import write_scenes
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.points import point_id_bytes
from mmfs.store import Objects
from mmfs.store.costs import processor_name
from mmfs.store.objects_remote import RemoteObjects
from mmfs_assets.demo import run_demo
from tests.s3 import Counts, S3Server, s3_server
from tests.search.engines import SPACE

DIM = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="few pictures and vectors, to see that it works")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--shard", type=int, default=8, help="files a shard")
    arguments = parser.parse_args()
    pictures, clips, rows = (5, 1, 500) if arguments.quick else (arguments.pictures, arguments.clips, 30_000)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, s3_server() as s3:
        os.environ |= s3.environment
        os.environ |= {"DAGSTER_HOME": f"{folder}/home", "XDG_CACHE_HOME": f"{folder}/cache"}
        os.environ["MMFS_SHARD_MAX_FILES"] = str(arguments.shard)
        os.chdir(folder)
        for bucket in ("media", "stores"):
            s3.make_bucket(bucket)
        media_bytes = upload(Path(folder) / "scenes", pictures, clips)
        shards = -(-(pictures + clips) // arguments.shard)
        turns = [demo(s3, shards) for _ in range(2)]
        refresh = refreshed(Path(folder), rows)
    goals = [
        goal("bytes of media read by the second demo", turns[1]["media_bytes"], "at most", 0),
        goal("bytes of media read by the first, over their size", turns[0]["media_bytes"] / media_bytes, "at most", 2),
    ]
    result = {
        "device": processor_name(),
        "files": pictures + clips,
        "shards": shards,
        "media_bytes": media_bytes,
        "first": turns[0],
        "second": turns[1],
        "index_refresh": refresh,
        "goals": goals,
        "load_before": round(load, 2),
    }
    print(json.dumps(result, indent=2))
    print(table(goals))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def upload(scenes: Path, pictures: int, clips: int) -> int:
    """Put rendered scenes into the bucket of media; bytes of pictures and clips."""
    write_scenes(scenes, split="test", images=pictures, videos=clips, progress=lambda *_: None)
    files = [path for path in scenes.rglob("*.*") if path.is_file()]
    for path in files:
        Objects.open("s3://media/scenes").put(path.relative_to(scenes).as_posix(), path)
    return sum(path.stat().st_size for path in files if path.suffix in {".jpg", ".mp4"})


def demo(s3: S3Server, shards: int) -> dict[str, Any]:
    """Run it, and say what was read meanwhile."""
    s3.count_anew()
    began = time.perf_counter()
    mmfs.cli.output.console = Console(quiet=True)
    run_demo(mmfs.cli.output.console, media=["s3://media/scenes"], store="s3://stores/demo")
    seconds = time.perf_counter() - began
    counts = s3.counts()
    requests = Counter(dict.fromkeys(("lists", "log", "rows", "packs", "index", "media", "other"), 0))
    methods: Counter[str] = Counter()
    asked = {f"{'LIST' if '?' in path else 'GET'} {path}": count for path, count in counts.requests.items()}
    for request, count in (asked | counts.others).items():
        method, _, path = request.partition(" ")
        methods[method] += count
        requests[about(method, path)] += count
    return {
        "media_bytes": media_bytes(counts),
        "bytes": counts.bytes_of(),
        "pack_bytes": counts.bytes_of("/packs/"),
        "requests": dict(requests),
        "methods": dict(methods),
        "requests_a_shard": round(sum(requests.values()) / shards, 1),
        "seconds": round(seconds, 1),
    }


def media_bytes(counts: Counts) -> int:
    """Bytes of pictures and clips; the list of their captions is no media."""
    return sum(size for path, size in counts.bytes_sent.items() if path.endswith((".jpg", ".mp4")))


def about(method: str, path: str) -> str:
    """What a request is about."""
    if method == "LIST":
        return "lists"
    if path.startswith("/media/"):
        return "media"
    parts = {"/_delta_log/": "log", ".parquet": "rows", "/packs/": "packs", "/index/": "index"}
    return next((name for part, name in parts.items() if part in path), "other")


def refreshed(folder: Path, rows: int) -> dict[str, Any]:
    """Bytes of a build in the bucket, and of one that begins with it and has ten rows more."""
    space = replace(SPACE, dim=DIM)
    objects = RemoteObjects("s3://stores/index-of-its-own")
    engine = BucketEdgeEngine(objects, folder / "cache")
    for build_id, numbers, base in (("1", range(rows), None), ("2", range(rows, rows + 10), "1")):
        build = engine.begin(space, build_id, base=base)
        for start in range(numbers.start, numbers.stop, 5000):
            build.upsert(points(range(start, min(start + 5000, numbers.stop))))
        build.finish()
        build.publish()
        build.abandon()
    whole, changed = (
        sum(info.size_bytes for info in objects.list(f"index/{space.name}/{build_id}")) for build_id in ("1", "2")
    )
    return {"rows": rows, "dim": DIM, "bytes": whole, "bytes_sent_for_ten_rows": changed}


def points(numbers: range) -> pa.RecordBatch:
    """Random vectors, with what a point needs besides."""
    vectors = np.random.default_rng(numbers.start).normal(size=(len(numbers), DIM)).astype(np.float32)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array([point_id_bytes(NAMESPACE_DNS, str(number)) for number in numbers], pa.binary(16)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            "shard": [f"{number // 1000:06d}" for number in numbers],
            "media_id": [f"{number:032x}" for number in numbers],
            "index": pa.array([0] * len(numbers), pa.int64()),
            "row_hash": [f"{number:x}" for number in numbers],
            "raw_media__kind": [("image", "video")[number % 2] for number in numbers],
            "raw_media__width": pa.array([number % 4096 for number in numbers], pa.int64()),
        }
    )


if __name__ == "__main__":
    main()
