"""When in a video does something happen? Planted events, found with ``group="segment"``.

Videos of a frame a second; most frames show one of many other things, an event is a run of frames near the query, with
noise. A segment found is right when it overlaps a planted one by half of their union. As many segments are asked for as
were planted.

    python benchmarks/search_segments.py [--json FILE] [--videos 200] [--dim 128] [--quick]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from making.vectors import TABLE
from measuring.goals import goal, table

from mmfs.features.fingerprint import FingerprintParts, recorded_parts
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.search import Searcher, SearchQuery, build_index
from mmfs.settings import Settings
from mmfs.store import Store

FRAMES = 120
#: How much of a frame is what it shows; the rest is noise.
LIKENESS = {"event": 0.75, "other": 0.6}


@dataclass(frozen=True)
class Event:
    """A run of frames ``[start, end]`` of a video."""

    video: int
    start: int
    end: int

    def overlap(self, start: float, end: float) -> float:
        """Intersection over union, of ranges that hold their last frame."""
        both = min(self.end, end) - max(self.start, start) + 1
        return max(0.0, both) / (max(self.end, end) - min(self.start, start) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--dim", type=int, default=128)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(20 if given.quick else given.videos, given.dim, Path(folder))
    print(json.dumps(result, indent=2))
    print(table(result["goals"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(videos: int, dim: int, folder: Path) -> dict[str, Any]:
    """Share of the planted events that are found, with what was asked."""
    draw = np.random.default_rng(0)
    wanted = _unit(draw.normal(size=dim))
    events = plant(videos, draw)
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write(store, frames(videos, dim, events, wanted, draw))
    build_index(store, TABLE, ["000000"])
    searcher = Searcher(store)
    found: dict[str, Any] = {}
    floor = LIKENESS["event"] / 2
    for name, query in {
        "best k": SearchQuery(vector=wanted, space=TABLE, group="segment", k=len(events)),
        "min_score": SearchQuery(vector=wanted, space=TABLE, group="segment", k=10_000, min_score=floor),
    }.items():
        started = time.perf_counter()
        rows = searcher.search(query).table.to_pylist()
        right = {
            event
            for event in events
            for row in rows
            if int(row["media_id"], 16) == event.video
            and event.overlap(row["segment_start_s"], row["segment_end_s"]) >= 0.5
        }
        found[name] = {
            "recall": len(right) / len(events),
            "precision": len(right) / max(1, len(rows)),
            "ms": round(1000 * (time.perf_counter() - started), 1),
        }
    return {
        "videos": videos,
        "frames": videos * FRAMES,
        "events": len(events),
        "found": found,
        "goals": [
            goal(f"segments recall at IoU 0.5, {name}", one["recall"], "at least", 0.9) for name, one in found.items()
        ],
    }


def plant(videos: int, draw: np.random.Generator) -> list[Event]:
    """None to two events a video, 3 to 15 frames long, at least ten frames apart."""
    events = []
    for video in range(videos):
        for half in range(int(draw.integers(0, 3))):
            start = int(draw.integers(half * FRAMES // 2, half * FRAMES // 2 + 30))
            events.append(Event(video, start, start + int(draw.integers(3, 16)) - 1))
    return events


def frames(videos: int, dim: int, events: list[Event], wanted: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Unit vectors float32 [videos, FRAMES, dim]: scenes of other things that last a while, and the events."""
    others = _unit(draw.normal(size=(50, dim)))
    shown = others[np.repeat(draw.integers(0, 50, (videos, FRAMES // 8)), 8, axis=1)]
    likeness = np.full((videos, FRAMES, 1), LIKENESS["other"])
    for event in events:
        shown[event.video, event.start : event.end + 1] = wanted
        likeness[event.video, event.start : event.end + 1] = LIKENESS["event"]
    noise = _unit(draw.normal(size=shown.shape))
    return _unit(likeness * shown + np.sqrt(1 - likeness**2) * noise).astype(np.float32)


def write(store: Store, vectors: np.ndarray) -> None:
    """The videos as one shard."""
    videos, each, dim = vectors.shape
    spec = feature_table(TABLE, "Random.", "frame", (vector_column("vector", "Random.", VectorType(dim)),))
    store.tables.ensure(spec)
    media = [f"{video:032x}" for video in range(videos)]
    keys = {
        "media_id": [name for name in media for _ in range(each)],
        "frame_index": pa.array(list(range(each)) * videos, pa.int64()),
    }
    half = pa.array(vectors.astype(np.float16).ravel(), pa.float16())
    total = videos * each
    for name, columns in {
        "raw_media": {"media_id": media, "kind": ["video"] * videos},
        "frames": {**keys, "time_s": [float(at) for at in range(each)] * videos, "fingerprint": ["f"] * total},
        TABLE: {**keys, "vector": pa.FixedSizeListArray.from_arrays(half, dim), "fingerprint": ["r"] * total},
    }.items():
        info = recorded_parts(FingerprintParts("a", "b", "c", "d"))
        store.tables.replace(name, "000000", pa.table(columns), planned=store.tables.state(name, "000000"), info=info)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    main()
