"""Stores with vectors and hashes of one's own, in two shards, without pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.features.fingerprint import FingerprintParts, recorded_parts
from mmfs.features.quality import FrameQuality
from mmfs.features.tablespec import table_of
from mmfs.schemas import TableSpec, VectorType, feature_table, vector_column
from mmfs.store import Store

SPACE = "clip_embeddings"
SHARDS = ("000000", "000001")


def media_id(number: int) -> str:
    return f"{number:032x}"


def frame_key(media: int, index: int = 0) -> str:
    return f"{media_id(media)}:{index}"


def unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Vectors at unit length, float32."""
    given = np.asarray(vectors, np.float64)
    return (given / np.linalg.norm(given, axis=-1, keepdims=True)).astype(np.float32)


def clustered(rows: int, dim: int, *, seed: int, centres: int = 8, width: float = 0.6) -> npt.NDArray[np.float32]:
    """Vectors around random centres."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(centres, dim))
    return unit(middle[draw.integers(0, centres, rows)] + width * draw.normal(size=(rows, dim)))


def fill(
    store: Store,
    vectors: npt.NDArray[np.float32],
    *,
    media: Sequence[int] | None = None,
    hashes: Sequence[int] | None = None,
    blank: Sequence[int] = (),
    model: str = "weights",
    raw: dict[int, dict[str, Any]] | None = None,
) -> None:
    """Write frames with these vectors (and hashes): row i is the next frame of media ``media[i]`` (default: i).

    Media of even number lie in the first shard, others in the second.

    Args:
        blank: Rows whose frame is blank.
        model: Part of the fingerprint that the embeddings are recorded with.
        raw: More columns of raw_media, by media.
    """
    owners = list(media) if media is not None else list(range(len(vectors)))
    seen: dict[int, int] = {}
    keys = []
    for owner in owners:
        keys.append((owner, seen.get(owner, 0)))
        seen[owner] = seen.get(owner, 0) + 1
    space = feature_table(SPACE, "Vectors.", "frame", (vector_column("vector", "V.", VectorType(vectors.shape[1])),))
    store.tables.ensure(space)
    quality = table_of(FrameQuality())
    if hashes is not None:
        store.tables.ensure(quality)
    for number, shard in enumerate(SHARDS):
        rows = [row for row, (owner, _) in enumerate(keys) if owner % 2 == number]
        here = sorted({keys[row][0] for row in rows})
        base = {
            "media_id": [media_id(keys[row][0]) for row in rows],
            "frame_index": pa.array([keys[row][1] for row in rows], pa.int64()),
            "fingerprint": pa.array(["f"] * len(rows), pa.string()),
        }
        described = [
            {"media_id": media_id(owner), "kind": "image", "width": 640, "height": 480, **(raw or {}).get(owner, {})}
            for owner in here
        ]
        put(store, "raw_media", shard, pa.Table.from_pylist(described, schema=_schema(store.tables.spec("raw_media"))))
        put(
            store,
            "frames",
            shard,
            pa.table({**base, "time_s": [float(index) for index in base["frame_index"].to_pylist()]}),
        )
        flat = pa.array(vectors[rows].astype(np.float16).ravel(), pa.float16())
        lists = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        info = recorded_parts(FingerprintParts("code", "config", model, "outputs")) | {"model": f"model of {model}"}
        put(store, SPACE, shard, pa.table({**base, "vector": lists}), info)
        if hashes is not None:
            more = {
                "phash": pa.array([hashes[row] for row in rows], pa.int64()),
                "is_blank": pa.array([row in blank for row in rows], pa.bool_()),
                "brightness": pa.array([float(row) for row in rows], pa.float32()),
            }
            put(store, "frame_quality", shard, pa.table({**base, **more}))


def put(store: Store, table: str, shard: str, rows: pa.Table, info: dict[str, str] | None = None) -> None:
    """Make these the rows of a shard."""
    store.tables.replace(table, shard, rows, planned=store.tables.state(table, shard), info=info)


def _schema(spec: TableSpec) -> pa.Schema:
    return pa.schema([(column.name, column.type) for column in spec.columns])
