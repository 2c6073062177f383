"""LanceDB: a table on disk with an index of vectors, and indexes of the columns that are filtered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from making.vectors import Vectors

from indexes import Below, Query

PACKAGE = "lancedb"
SETTINGS = "IVF_HNSW_SQ, one partition, m=16, ef_construction=128, ef=128, refine_factor=2, prefilter, BTREE columns"


def build(vectors: Vectors, folder: Path) -> Query:
    import lancedb

    dim = vectors.rows.shape[1]
    database = lancedb.connect(str(folder))
    table = database.create_table(
        "bench",
        pa.table(
            {
                "number": pa.array(range(len(vectors.rows)), pa.int64()),
                "width": vectors.width,
                "height": vectors.height,
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.rows.ravel()), dim),
            }
        ),
    )
    table.create_index(
        metric="cosine",
        vector_column_name="vector",
        index_type="IVF_HNSW_SQ",
        num_partitions=1,
        m=16,
        ef_construction=128,
    )
    for column in ("width", "height"):
        table.create_scalar_index(column, index_type="BTREE")

    def query(vector: npt.NDArray[np.float32], k: int, only: Below | None) -> list[int]:
        search = (
            table.search(vector)
            .distance_type("cosine")
            .ef(128)
            .refine_factor(2)
            .limit(k)
            .select(["number", "_distance"])
        )
        if only is not None:
            search = search.where(only.where(), prefilter=True)
        numbers: list[int] = search.to_arrow().column("number").to_pylist()
        return numbers

    return query
