"""The bare engine, answering with ids alone, which nobody can look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from making.vectors import Vectors

from indexes import Below, Query
from indexes.raw_edge import PACKAGE, SETTINGS, ask, make, open_again

__all__ = ["PACKAGE", "SETTINGS", "build"]


def build(vectors: Vectors, folder: Path) -> Query:
    built = folder.with_name("raw_edge")  # by the module of that name, which goes before this one
    if not built.exists():
        make(vectors, built).close()
    shard = open_again(built)

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        return [point.id for point in ask(shard, vector, k, only, with_payload=False)]

    return query
