"""From a question to the first training batch: 10,000 hits are saved as a subset, pinned, and trained on.

100,000 frames of 256 x 341 pixels in about 35 KB of JPEG each, with vectors of 512 numbers, in four shards, indexed.
A new process asks for the 10,000 nearest to a vector among the half that meets a condition, saves and pins them, and
takes the first batch of 256 pictures and vectors. The vector stands for the words: no model is loaded. Files are in the
page cache, as they have just been written.

    python benchmarks/search_to_training.py [--json FILE] [--rows 100000] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TRIES = 3
_VECTOR = "asked.json"
_ASKING = ("open", "search", "save", "pin", "first batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="found", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(asked(given.ask, given.name, hits=200 if given.quick else 10_000)), flush=True)
        return
    from measuring.goals import table

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), *((1000, 32) if given.quick else (given.rows, 512)))
        result = measure(Path(folder), quick=given.quick) | {"load_before": round(load, 2)}
    print(json.dumps(result, indent=2))
    print(table(result["goals"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Medians over new processes: the whole, and its steps."""
    from measuring.goals import goal

    runs = []
    for number in range(1 if quick else _TRIES):
        command = [sys.executable, __file__, "--ask", str(folder), "--name", f"found-{number}"]
        began = time.perf_counter()
        with subprocess.Popen(command + ["--quick"] * quick, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            answer = process.stdout.readline()
            whole = time.perf_counter() - began
        steps = json.loads(answer)
        asking = sum(steps[step] for step in _ASKING)
        runs.append({**steps, "from question to batch": asking, "from starting Python to batch": whole})
    seconds = {step: round(statistics.median(run[step] for run in runs), 3) for step in runs[0] if step != "hits"}
    claims = ("from question to batch", "from starting Python to batch")
    return {
        "hits": runs[0]["hits"],
        "seconds": seconds,
        "goals": [goal(f"seconds {claim}", seconds[claim], "at most", 10) for claim in claims],
    }


def asked(folder: Path, name: str, *, hits: int) -> dict[str, float]:
    """Seconds of each step in this process, and how many hits there were."""
    taken: dict[str, float] = {}
    began = time.perf_counter()

    def step(what: str) -> None:
        nonlocal began
        taken[what] = time.perf_counter() - began
        began = time.perf_counter()

    import torch  # noqa: F401

    step("import torch")
    from making.vectors import TABLE

    import mmfs

    store = mmfs.open_store(folder / "store")
    step("open")
    vector = json.loads((folder / _VECTOR).read_text())
    found = store.search(vector=vector, k=hits, where="width < 500", space=TABLE)
    step("search")
    store.subset(name).save(found)
    step("save")
    store.pin(name, columns=["frames.image", f"{TABLE}.vector"], subset=name)
    step("pin")
    loader = store.loader(name, batch_size=min(256, hits // 2), image_size=224)
    batch = next(iter(loader))
    step("first batch")
    assert batch["_valid"].all()
    return {**taken, "hits": len(found)}


def make(folder: Path, rows: int, dim: int) -> None:
    """The store and its index, and the vector that is asked for."""
    import pyarrow as pa
    from making.stored import write_frames
    from making.vectors import TABLE, Vectors, shard_names, write

    from mmfs.search import build_index
    from mmfs.settings import Settings
    from mmfs.store import Store

    vectors = Vectors.make(rows, dim, 1)
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, vectors)
    for shard in shard_names():
        keys = store.tables.read("frames", columns=["media_id", "frame_index"], shard=shard)
        write_frames(store, shard, keys.num_rows)
        frames = store.tables.read("frames", shard=shard)
        named = frames.set_column(frames.column_names.index("media_id"), "media_id", keys["media_id"])
        times = pa.array([0.0] * keys.num_rows)
        named = named.set_column(named.column_names.index("time_s"), "time_s", times)
        store.tables.update("frames", shard, lambda _, rows=named: rows)
    build_index(store, TABLE, shard_names())
    (folder / _VECTOR).write_text(json.dumps(vectors.asked[0].tolist()))


if __name__ == "__main__":
    main()
