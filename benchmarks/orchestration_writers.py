"""Do run workers that commit to one table at the same time surface a conflict, lose a shard, or wait for one another?

Eight processes, as many runs of a backfill would be, commit 25 shards each to one table: in a directory, then in a
bucket of an S3 server on this machine (moto). Their shards alternate, so that neighbours meet. A conflict that a caller
sees counts as surfaced; tries beyond one a commit count as retried: the commit loop answered them (the Delta library's
own retries are below that and not counted). One process that commits all 200 shards is the measure of the wall time:
commits to one table queue, so the best that eight can do on that part is as much.

    python benchmarks/orchestration_writers.py [--json FILE] [--quick] [--writers 8] [--shards 25]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring.goals import goal, table

from mmfs.errors import StoreError
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.costs import processor_name
from mmfs.store.faults import arm
from tests.conftest import media_rows
from tests.s3 import S3Server, s3_server

LIMIT_S = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="3 writers of 3 shards, to see that it works")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--shards", type=int, default=25)
    parser.add_argument("--work", nargs=4, metavar=("URL", "FIRST", "COUNT", "STEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        url, *numbers = arguments.work
        work(url, *map(int, numbers))
        return
    writers, shards = (3, 3) if arguments.quick else (arguments.writers, arguments.shards)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, s3_server() as s3:
        os.environ |= s3.environment
        found = {place: measure(place, Path(folder), s3, writers, shards) for place in ("directory", "S3")}
    goals = [
        goal(f"{what}, {place}", found[place][name], "at most", 0)
        for place in found
        for what, name in (("conflicts surfaced", "surfaced"), ("shards lost", "lost"))
    ]
    result = {
        "device": processor_name(),
        "writers": writers,
        "shards_each": shards,
        **found,
        "goals": goals,
        "load_before": round(load, 2),
    }
    print(json.dumps(result, indent=2), table(goals), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(place: str, folder: Path, s3: S3Server, writers: int, shards: int) -> dict[str, Any]:
    """Many writers and one, each on an empty store of its own."""
    root = str(folder) if place == "directory" else s3.make_bucket("writers")
    many = race(f"{root}/many", writers, shards)
    one = race(f"{root}/one", 1, writers * shards)
    return {
        **many,
        "one_writer_s": one["wall_s"],
        "wall_over_one_writer": round(many["wall_s"] / one["wall_s"], 2),
        "commits_per_s": round(writers * shards / many["wall_s"], 2),
    }


def race(url: str, writers: int, shards: int) -> dict[str, Any]:
    """Let writers begin at the same moment; what became of their commits."""
    store = Store.open(url, settings=Settings())
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--work", url, str(number), str(shards), str(writers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(writers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    answers = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        said, _ = process.communicate(timeout=LIMIT_S)
        answers.append(json.loads(said))
    wall_s = time.perf_counter() - began
    there = store.tables.shards("raw_media")
    return {
        "wall_s": round(wall_s, 2),
        "surfaced": sum(answer["surfaced"] for answer in answers),
        "retried": sum(answer["tries"] for answer in answers) - writers * shards,
        "lost": writers * shards - sum(rows == 1 for rows in there.values()),
        "slowest_commit_s": max(answer["slowest_s"] for answer in answers),
    }


def work(url: str, first: int, count: int, step: int) -> None:
    """One writer: a media in every ``step``-th shard."""
    store = Store.open(url, settings=Settings())
    store.tables.state("raw_media", "000000")  # opened before the race
    tries = surfaced = 0
    slowest_s = 0.0

    def count_try() -> None:
        nonlocal tries
        tries += 1

    print("ready", flush=True)
    sys.stdin.readline()
    with arm("tables.before_commit", count_try):
        for shard in range(first, first + count * step, step):
            began = time.perf_counter()
            try:
                store.tables.update("raw_media", f"{shard:06d}", lambda _, shard=shard: media_rows([shard]))
            except StoreError as error:
                print(error, file=sys.stderr)
                surfaced += 1
            slowest_s = max(slowest_s, time.perf_counter() - began)
    print(json.dumps({"tries": tries, "surfaced": surfaced, "slowest_s": round(slowest_s, 2)}), flush=True)


if __name__ == "__main__":
    main()
