"""The table of a feature, from its declaration."""

from __future__ import annotations

import pyarrow as pa

from mmfs.errors import FeatureError
from mmfs.features.feature import Blob, Feature, Output, Scalar, Vector
from mmfs.schemas import BLOB_COLUMNS, GRAIN_KEYS, Column, TableSpec, VectorType, feature_table, vector_column

_SCALARS = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}


def table_of(feature: Feature) -> TableSpec:
    """The table that holds a feature's rows: the grain's key, its outputs, and the fingerprint.

    Raises:
        FeatureError: Outputs are declared wrongly: a taken name, more than one Blob, or a space without one Vector.
        ModelError: The width of a vector depends on a model that cannot be found.
    """
    spec, outputs = feature.spec, feature.outputs
    blobs = [name for name, output in outputs.items() if isinstance(output, Blob)]
    vectors = [name for name, output in outputs.items() if isinstance(output, Vector)]
    taken = {column.name for column in (*GRAIN_KEYS[spec.grain], *BLOB_COLUMNS)} | {"shard", "fingerprint"}
    where = f"{spec.cls.__module__}.{spec.cls.__name__}"
    if clash := sorted(taken & set(outputs)):
        raise FeatureError(f"output {clash[0]!r} has the name of a key column", where=where, mend="rename it")
    if not outputs or len(blobs) > 1:
        raise FeatureError(
            f"{len(outputs)} outputs, {len(blobs)} of them blobs",
            where=where,
            mend="declare at least one output and at most one Blob",
        )
    if spec.space and len(vectors) != 1:
        raise FeatureError(
            f"a search space needs one Vector output, not {len(vectors)}",
            where=where,
            mend="declare one",
        )
    columns = tuple(_column(name, output) for name, output in outputs.items() if not isinstance(output, Blob))
    blob = blobs[0] if blobs else None
    codec = next((output.codec for output in outputs.values() if isinstance(output, Blob)), None)
    return feature_table(spec.table, spec.description, spec.grain, columns, blob=blob, codec=codec)


def _column(name: str, output: Output) -> Column:
    if isinstance(output, Vector):
        return vector_column(name, output.description, VectorType(output.dim, output.dtype))
    if isinstance(output, Scalar):
        return Column(name, _SCALARS[output.dtype], output.description, output.unit)
    return Column(name, pa.string(), output.description)
