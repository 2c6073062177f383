"""Engines to run the same tests on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid4

import numpy as np
import pyarrow as pa
from obstore.store import MemoryStore

from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.points import point_id_bytes
from mmfs.search.port import Engine, PayloadColumn, SpaceSpec
from mmfs.search.retry import Retry
from mmfs.search.server import ServerEngine
from mmfs.store import Objects
from mmfs.store.objects_remote import RemoteObjects
from tests.search.stand_in import stand_in

#: Read at import: a fixture hides the shell's variables from the tests.
SERVER_URL = os.environ.get("MMFS_TEST_QDRANT_URL")
NAMES = ["edge", "bucket", "memory", "loopback", *(["server"] if SERVER_URL else [])]

SPACE = SpaceSpec(
    "colours",
    "f" * 64,
    "test",
    "frame",
    4,
    (
        PayloadColumn("raw_media", "kind", "text"),
        PayloadColumn("raw_media", "width", "integer"),
        PayloadColumn("raw_media", "fps", "number"),
        PayloadColumn("frames", "is_keyframe", "truth"),
    ),
)


def engine(name: str, folder: Path) -> Engine:
    """A new, empty engine."""
    if name == "edge":
        return EdgeEngine(Objects.open(folder))
    if name == "bucket":
        return BucketEdgeEngine(bucket(MemoryStore()), folder / "cache")
    if name == "memory":
        from qdrant_client import QdrantClient

        return ServerEngine(QdrantClient(":memory:"), "test")
    assert SERVER_URL is not None
    return ServerEngine.connect(SERVER_URL, None, namespace=uuid4().hex[:8])


def bucket(held: MemoryStore, url: str = "s3://bucket/store") -> RemoteObjects:
    """Objects of a bucket that is in memory."""
    objects = RemoteObjects(url)
    objects._store = held  # type: ignore[assignment]
    return objects


@contextmanager
def running(name: str, folder: Path) -> Iterator[Engine]:
    """An engine, for as long as the block; ``loopback`` is over HTTP, and every fifth request to it fails."""
    if name != "loopback":
        yield engine(name, folder)
        return
    with stand_in() as standing:
        standing.fault = lambda number, *_: ("exhausted", "lost reply")[number % 2] if number % 5 == 0 else None
        yield ServerEngine.connect(standing.url, None, namespace="test", retry=Retry(sleep=lambda _: None))


def points(numbers: range, shard: str = "000000", *, mark: str = "a") -> pa.RecordBatch:
    """Points on a circle: number ``n`` lies at ``5 n`` degrees; every third lacks a kind, every fourth a width."""
    angles = np.deg2rad([5.0 * n for n in numbers])
    flat = np.zeros((len(numbers), 4), np.float32)
    flat[:, 0], flat[:, 1] = np.cos(angles), np.sin(angles)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array([point_id_bytes(NAMESPACE_DNS, str(n)) for n in numbers], pa.binary(16)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), 4),
            "shard": [shard] * len(numbers),
            "media_id": [f"{n:032x}" for n in numbers],
            "index": pa.array([n % 5 for n in numbers], pa.int64()),
            "row_hash": [f"{mark}{n}" for n in numbers],
            "raw_media__kind": pa.array(
                [None if n % 3 == 0 else ("video", "image")[n % 2] for n in numbers], pa.string()
            ),
            "raw_media__width": pa.array([None if n % 4 == 0 else n * 10 for n in numbers], pa.int64()),
            "raw_media__fps": pa.array([n / 4 for n in numbers], pa.float64()),
            "frames__is_keyframe": pa.array([n % 2 for n in numbers], pa.int64()),
        }
    )


def at(number: float) -> np.ndarray:
    """The vector of a number."""
    angle = np.deg2rad(5.0 * number)
    return np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32)
