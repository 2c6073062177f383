"""How do shards grow in a year of few files a day, and of very many? And what does a daily trickle cost?

First a year of files, by sizes alone: the function that decides when a shard is sealed fills shards with what people
keep (log-normal sizes of pictures on the web, photos and clips), 10 files a day and 100,000. Then some days through
`assign` into a real store, which must come to the same shards. Last a trickle of real, tiny pictures: every day ten are
listed, registered, and become frames in the one open shard, and every night packs are compacted.

    python benchmarks/orchestration_growth.py [--json FILE] [--quick] [--days 60]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring.goals import goal, table

from mmfs.codecs import encode_jpeg
from mmfs.ingest import Listed, assign, build_captions, build_frames, list_sources, register_media
from mmfs.ingest.assign import MAX_SHARDS
from mmfs.ingest.filling import Filled, Limits, fill
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.costs import processor_name
from tests.ingest.years import MB, draw, year_of

DEFAULT_MB, FILES_A_SHARD = 512, 4096
#: Kind, files a day, shard_target_mb, shard_max_files.
YEARS = [
    ("pictures of the web", 10, DEFAULT_MB, FILES_A_SHARD),
    ("photos", 10, DEFAULT_MB, FILES_A_SHARD),
    ("clips", 10, DEFAULT_MB, FILES_A_SHARD),
    ("pictures of the web", 100_000, DEFAULT_MB, FILES_A_SHARD),
    ("photos", 100_000, 8192, FILES_A_SHARD),
    ("clips", 100_000, 32_768, FILES_A_SHARD),
]
FILES_A_DAY = 10
#: Figures of sealed shards; None where no shard is sealed yet.
_FILLS = {"mean_fill": statistics.mean, "least_fill": min, "most_fill": max}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="few files and days, to see that it works")
    parser.add_argument("--days", type=int, default=60)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    years = [year(*case) for case in (YEARS[:3] if arguments.quick else YEARS)]
    with tempfile.TemporaryDirectory() as folder:
        real = through_assign(Path(folder), days=4 if arguments.quick else 40)
        daily = trickle(Path(folder), days=9 if arguments.quick else arguments.days)
    fills = [case["mean_fill"] for case in years if case["mean_fill"] is not None]
    goals = [
        goal("most shards after a year", max(case["shards"] for case in years), "at most", MAX_SHARDS),
        goal("mean fill of sealed shards", min(fills, default=None), "at least", 0.9),
        goal("shards that assign fills otherwise", real["differing"], "at most", 0),
        goal("packs of the trickle's shard", daily["most_packs"], "at most", 8),
    ]
    found = {
        "device": processor_name(),
        "years": years,
        "assign": real,
        "trickle": daily,
        "goals": goals,
        "load_before": round(load, 2),
    }
    print(json.dumps(found, indent=2), table(goals), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def year(kind: str, files_a_day: int, target_mb: int, max_files: int) -> dict[str, Any]:
    """Shards after a year, filled day by day."""
    began = time.perf_counter()
    limits = Limits(target_mb << 20, max_files)
    shards, largest = year_of(kind, files_a_day, limits)
    sealed = shards[:-1]
    fills = [max(one.files / max_files, one.size_bytes / limits.target_bytes) for one in sealed]
    return {
        "kind": kind,
        "files_a_day": files_a_day,
        "shard_target_mb": target_mb,
        "files": sum(one.files for one in shards),
        "tb": round(sum(one.size_bytes for one in shards) / 1e12, 3),
        "shards": len(shards),
        **{name: round(of(fills), 3) if fills else None for name, of in _FILLS.items()},
        "largest_file_mb": round(largest / MB, 1),
        "seconds": round(time.perf_counter() - began, 2),
    }


def through_assign(folder: Path, *, days: int) -> dict[str, Any]:
    """Days of listings through a real store, beside what the pure function says of the same sizes."""
    store = Store.open(folder / "assign", settings=Settings(shard_target_mb=64, shard_max_files=40))
    rng, sizes = np.random.default_rng(6), np.empty(0, np.int64)
    for day in range(days):
        today = draw(("photos", "clips", "pictures of the web")[day % 3], FILES_A_DAY, rng)
        items = [Listed(f"/{day:04d}-{n:02d}.jpg", int(size), None, 1) for n, size in enumerate(today)]
        assign(store, items, added_by="benchmark", now_us=day)
        sizes = np.concatenate([sizes, today])
    expected = fill(Limits(64 << 20, 40), Filled(), sizes)
    rows = store.tables.read("listings", columns=["shard", "size_bytes"])
    found = [
        Filled(len(held), sum(held))
        for shard in store.tables.shards("listings")
        for held in [[size for name, size in zip(*rows.to_pydict().values(), strict=True) if name == shard]]
    ]
    differing = sum(one != other for one, other in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
    return {"files": len(sizes), "shards": len(found), "differing": differing}


def trickle(folder: Path, *, days: int) -> dict[str, Any]:
    """Ten pictures a day into the one open shard, with compaction every night."""
    media, rng = folder / "media", np.random.default_rng(7)
    media.mkdir()
    store = Store.open(folder / "trickle", settings=Settings(workers=1))
    tables = ("listings", "raw_media", "sources", "captions", "frames")
    packs, table_bytes, day_s, night_s, copied = [], [], [], [], 0
    for day in range(days):
        for number in range(FILES_A_DAY):
            noise = rng.integers(0, 256, (48, 64, 3), np.uint8)
            (media / f"{day:04d}-{number}.jpg").write_bytes(encode_jpeg(noise))
        began = time.perf_counter()
        assign(store, list_sources([str(media)], store.settings), added_by="benchmark", now_us=day)
        register_media(store, "000000", now_us=day)
        build_captions(store, "000000")
        build_frames(store, "000000", now_us=day)
        day_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        copied += store.compact().copied_bytes
        night_s.append(time.perf_counter() - began)
        packs.append(len(set(store.tables.read("frames", columns=["pack"]).column("pack").to_pylist())))
        table_bytes.append(sum(file.size_bytes for name in tables for file in store.tables.files(name)))
    live = sum(store.tables.read("frames", columns=["length"]).column("length").to_pylist())
    written = sum(info.size_bytes for name in tables for info in store.objects.list(name))
    return {
        "days": days,
        "rows": sum(store.tables.shards("frames").values()),
        "packs_without_compaction": days,
        "most_packs": max(packs),
        "packs_at_the_end": packs[-1],
        "bytes_copied_over_live": round(copied / live, 2),
        "table_bytes_at_the_end": table_bytes[-1],
        "table_bytes_written_over_final": round(written / table_bytes[-1], 1),
        "first_days_s": round(statistics.median(day_s[:5]), 3),
        "last_days_s": round(statistics.median(day_s[-5:]), 3),
        "night_s": round(statistics.median(night_s), 3),
        "sound": store.verify(deep=True).ok,
    }


if __name__ == "__main__":
    main()
