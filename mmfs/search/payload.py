"""Points as engines take them: which payload keys are indexed, and rows out of Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.search.port import SHARD, Kind, SpaceSpec


def payload_indexes(space: SpaceSpec) -> dict[str, Kind]:
    """Payload keys that are indexed, with what they hold."""
    return {SHARD: "text", **{column.key: column.kind for column in space.payload}}


def point_rows(points: pa.RecordBatch) -> Iterator[tuple[UUID, npt.NDArray[np.float32], dict[str, Any]]]:
    """Id, vector float32 [D] and payload of each row; nulls are left out of the payload."""
    names = [name for name in points.schema.names if name not in {"id", "vector"}]
    vectors = points.column("vector")
    dim = vectors.type.list_size
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, dim)
    columns = [points.column(name).to_pylist() for name in names]
    for number, raw in enumerate(points.column("id").to_pylist()):
        payload = {name: column[number] for name, column in zip(names, columns, strict=True)}
        yield UUID(bytes=raw), matrix[number], {name: value for name, value in payload.items() if value is not None}
