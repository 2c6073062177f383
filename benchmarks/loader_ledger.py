"""Which steps of a training run saw this media, when the pin has ten million frames?

Makes a store of frames without pictures (media of 50 frames each, ids by chance, 100 shards), a pin of all of them, and
the record of a run of three epochs on 8 ranks. Then asks, for media by chance: when the run was given their frames
(`sightings`), what a step held (`keys_at`), and all that knows a media (`trace`). Beside it the same by reading all
keys, as it would be without the bounds of row groups. Answers are checked against one another. Prints medians.

    python benchmarks/loader_ledger.py [--json FILE] [--quick] [--repeats 9]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from measuring.goals import goal, table

from mmfs.loader import keys_at, sightings, trace
from mmfs.loader.inverse import MediaFinder
from mmfs.loader.recorder import RunRecorder
from mmfs.loader.schedule import SelectionSchedule
from mmfs.loader.topology import Topology
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.keys import Keys, key_columns
from mmfs.store.parquet import read_parquet
from mmfs.store.pins import Pin, Pins

FRAMES, SHARDS, ROWS, QUICK_ROWS, EPOCHS = 50, 100, 10_000_000, 200_000, 3
RUN, RANKS, BATCH = "run-1", 8, 256
Answer = TypeVar("Answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    found = measure(arguments) | {"load_before": round(load, 2)}
    print(json.dumps(found, indent=2))
    print(table(found["goals"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(options: Any) -> dict[str, Any]:
    """Medians and goals.

    Args:
        options: Has ``quick`` and ``repeats``.
    """
    rows = QUICK_ROWS if options.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store", settings=Settings())
        media = write_frames(store, rows)
        pin = Pins(store).create("all", columns=["frames.frame_index"], now_us=0)
        steps = record_run(store, pin)
        chosen = np.random.default_rng(1).choice(media, options.repeats, replace=False).tolist()
        times: dict[str, list[float]] = {}
        groups = []
        for media_id in chosen:
            seen = timed(times, "sightings", lambda media_id=media_id: sightings(store, RUN, media_id))
            assert len(seen) == FRAMES * EPOCHS
            one = seen[len(seen) // 2]
            held = timed(times, "keys_at", lambda one=one: keys_at(store, RUN, step=one.step, rank=one.rank))
            assert one.key in held
            assert timed(times, "trace", lambda media_id=media_id: trace(store, media_id))["runs"] == [RUN]
            finder = MediaFinder(store.objects, [media_id])
            assert len(timed(times, "find", lambda finder=finder: finder.samples(pin))[0]) == FRAMES
            groups.append(finder.groups_read)
        for media_id in chosen[:2]:
            assert timed(times, "all_keys", lambda media_id=media_id: by_all_keys(store, pin, media_id)) == FRAMES
        medians = {name: statistics.median(found) for name, found in times.items()}
        return {
            "rows": rows,
            "shards": SHARDS,
            "steps": steps,
            "row_groups": sum(-(-file.rows // 1024) for file in pin.tables["frames"].files),
            "row_groups_read": statistics.median(groups),
            "sides": {name: {"s": round(median, 4)} for name, median in medians.items()},
            "all_keys_over_find": round(medians["all_keys"] / medians["find"], 1),
            "goals": [goal(f"steps that saw a media, of {rows:,} rows, s", medians["sightings"], "at most", 1.0)],
        }


def write_frames(store: Store, rows: int) -> list[str]:
    """Frames without pictures; the ids of their media."""
    random = np.random.default_rng(0)
    media = [random.bytes(16).hex() for _ in range(rows // FRAMES)]
    each = len(media) // SHARDS
    for shard in range(SHARDS):
        mine = media[shard * each : (shard + 1) * each]
        frames = pa.table(
            {
                "media_id": pa.DictionaryArray.from_arrays(np.repeat(np.arange(each), FRAMES), mine).cast(pa.string()),
                "frame_index": np.tile(np.arange(FRAMES), each),
            }
        )
        store.tables.update("frames", f"{shard:06d}", lambda _, frames=frames: frames)
    return media


def record_run(store: Store, pin: Pin) -> int:
    """A run of whole epochs, as a loader records it, without reading anything; how many steps it has."""
    topology, schedule = Topology(0, RANKS, BATCH), SelectionSchedule.of(pin, seed=0, shuffle=True)
    recorder = RunRecorder(store, RUN, pin, schedule.order, topology, drop_last=False)
    steps = EPOCHS * -(-pin.samples // topology.global_batch)
    recorder.begin(schedule.start, is_stream=False)
    recorder.pause(replace(schedule.start, epoch=EPOCHS, step=steps), is_stream=False)
    return steps


def by_all_keys(store: Store, pin: Pin, media_id: str) -> int:
    """Rows of a media, by comparing every key."""
    found = 0
    for file in pin.tables["frames"].files:
        keys = Keys.of(read_parquet(store.objects, file, key_columns("frame")), "frame")
        found += int((keys.media == media_id.encode()).sum())
    return found


def timed(times: dict[str, list[float]], name: str, ask: Callable[[], Answer]) -> Answer:
    """The answer, after noting how long it took."""
    began = time.perf_counter()
    answer = ask()
    times.setdefault(name, []).append(time.perf_counter() - began)
    return answer


if __name__ == "__main__":
    main()
