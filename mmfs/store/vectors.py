"""Vectors: packed bytes in Parquet, fixed-size lists in memory, with no copy between the two where there are no nulls.

Delta refuses float16, and packed bytes read four times faster than a list of floats; nobody but this module sees them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmfs.errors import StoreError
from mmfs.schemas import VECTOR_DIM_KEY, VECTOR_DTYPE_KEY, VectorType
from mmfs.store.arrays import as_bools

#: Binary arrays count bytes in 32 bits.
_CHUNK_BYTES = 1 << 30


def vector_of(field: pa.Field) -> VectorType | None:
    """What a stored field says about itself, or None when it is no packed vector."""
    metadata = field.metadata or {}
    if VECTOR_DIM_KEY not in metadata:
        return None
    dtype = metadata[VECTOR_DTYPE_KEY].decode()
    return VectorType(int(metadata[VECTOR_DIM_KEY]), "float32" if dtype == "float32" else "float16")


def pack(column: pa.ChunkedArray, vector: VectorType) -> pa.ChunkedArray:
    """Fixed-size lists (float16 or float32, any slice) as packed ``binary`` of ``vector.dtype``; nulls stay null.

    Raises:
        StoreError: The lists have another length, or are no lists of floats.
    """
    kind = column.type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != vector.dim:
        raise StoreError(f"vectors are {kind}, not {vector.arrow}", mend=f"hand over {vector.arrow}")
    if kind != vector.arrow:
        try:
            column = column.cast(vector.arrow)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(f"vectors are {kind}, not {vector.arrow}", mend=f"hand over {vector.arrow}") from error
    rows = max(1, _CHUNK_BYTES // max(1, _width(vector)))
    chunks = [
        _pack_chunk(chunk.slice(start, rows), vector)
        for chunk in column.chunks
        for start in range(0, max(1, len(chunk)), rows)
    ]
    return pa.chunked_array(chunks, pa.binary())


def unpack(column: pa.ChunkedArray, vector: VectorType) -> pa.ChunkedArray:
    """Packed bytes (``binary`` or a view of it) as ``fixed_size_list<dtype>[dim]``; nulls stay null.

    Raises:
        StoreError: A value has another length than the vector.
    """
    if column.type != pa.binary():
        column = column.cast(pa.binary())
    return pa.chunked_array([_unpack_chunk(chunk, vector) for chunk in column.chunks], vector.arrow)


def unpack_table(table: pa.Table) -> pa.Table:
    """The table with every packed column handed out as its fixed-size list."""
    for position, field in enumerate(table.schema):
        vector = vector_of(field)
        if vector is not None and not pa.types.is_fixed_size_list(field.type):
            column = unpack(table.column(position), vector)
            table = table.set_column(position, field.with_type(vector.arrow), column)
    return table


def _width(vector: VectorType) -> int:
    return vector.dim * (2 if vector.dtype == "float16" else 4)


def _value_type(vector: VectorType) -> pa.DataType:
    return pa.float16() if vector.dtype == "float16" else pa.float32()


def _pack_chunk(lists: pa.FixedSizeListArray, vector: VectorType) -> pa.BinaryArray:
    width = _width(vector)
    floats = lists.flatten()  # honours the slice and leaves nulls out
    data = floats.buffers()[1]
    itemsize = width // vector.dim
    data = pa.py_buffer(b"") if data is None else data.slice(floats.offset * itemsize, len(floats) * itemsize)
    if lists.null_count == 0:
        offsets = np.arange(len(lists) + 1, dtype=np.int32) * np.int32(width)
        return pa.Array.from_buffers(pa.binary(), len(lists), [None, pa.py_buffer(offsets), data])
    valid = lists.is_valid()
    ends = np.cumsum(as_bools(valid)) * width
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(lists), [valid.buffers()[1], pa.py_buffer(offsets), data])


def _unpack_chunk(packed: pa.BinaryArray, vector: VectorType) -> pa.FixedSizeListArray:
    width = _width(vector)
    mask = None
    if packed.null_count:
        mask = packed.is_null()
        import pyarrow.compute as pc  # 35 ms, which those who only read do without

        packed = pc.fill_null(packed, b"\0" * width)
    if len(packed) == 0:
        return pa.nulls(0, vector.arrow)
    offsets = np.frombuffer(packed.buffers()[1], np.int32, len(packed) + 1, packed.offset * 4)
    if not (np.diff(offsets) == width).all():
        wrong = int(np.diff(offsets)[np.diff(offsets) != width][0])
        raise StoreError(
            f"a stored vector has {wrong} bytes where {vector.dtype}[{vector.dim}] has {width}",
            mend="the shards were computed by different models; materialize the stale ones",
        )
    data = packed.buffers()[2].slice(int(offsets[0]), len(packed) * width)
    floats = pa.Array.from_buffers(_value_type(vector), len(packed) * vector.dim, [None, data])
    return pa.FixedSizeListArray.from_arrays(floats, type=vector.arrow, mask=mask)
