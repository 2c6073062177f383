"""faiss: a graph in memory, with a selector of ids where there is a filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from making.vectors import Vectors

from indexes import Below, Query

PACKAGE = "faiss-cpu"
SETTINGS = "HNSWFlat, m=16, efConstruction=128, efSearch=128, inner product; filters as an IDSelectorBitmap made before"


def build(vectors: Vectors, folder: Path) -> Query:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    index.add(vectors.rows)
    masks: dict[Below, npt.NDArray[np.uint8]] = {}

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        selector = None
        if only is not None:
            if only not in masks:
                masks[only] = np.packbits(only.allowed(vectors), bitorder="little")
            selector = faiss.IDSelectorBitmap(masks[only])
        parameters = faiss.SearchParametersHNSW(efSearch=128, sel=selector)
        _, found = index.search(vector[None], k, params=parameters)
        return [int(number) for number in found[0] if number >= 0]

    return query
