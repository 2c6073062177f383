"""Between NumPy and Arrow by their buffers. The usual conversions (`pa.array`, `to_numpy`, scalars) import pandas
where it is installed, which costs every process close to a second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_NUMPY: dict[pa.DataType, str] = {
    pa.int8(): "i1",
    pa.uint8(): "u1",
    pa.int16(): "<i2",
    pa.uint16(): "<u2",
    pa.int32(): "<i4",
    pa.uint32(): "<u4",
    pa.int64(): "<i8",
    pa.uint64(): "<u8",
    pa.float16(): "<f2",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
}


def as_numpy(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.generic]:
    """The numbers of an array, [n], of its own dtype; no copy of a single chunk. What lies under nulls is undefined."""
    if isinstance(values, pa.ChunkedArray):
        parts = [as_numpy(chunk) for chunk in values.chunks if len(chunk)]
        if not parts:
            return np.empty(0, _NUMPY[values.type])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    dtype = np.dtype(_NUMPY[values.type])
    if len(values) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(values.buffers()[1], dtype, len(values), values.offset * dtype.itemsize)


def as_bools(values: pa.Array) -> npt.NDArray[np.bool_]:
    """A boolean array without nulls as bool [n]."""
    if len(values) == 0:
        return np.empty(0, np.bool_)
    bits = np.unpackbits(np.frombuffer(values.buffers()[1], np.uint8), bitorder="little")
    return bits[values.offset : values.offset + len(values)].astype(np.bool_)


def as_arrow(values: npt.NDArray[np.generic]) -> pa.Array:
    """Numbers, [n], as an Arrow array over the same memory."""
    values = np.ascontiguousarray(values)
    kind = next(arrow for arrow, dtype in _NUMPY.items() if np.dtype(dtype) == values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def repeated_text(text: str, rows: int) -> pa.Array:
    """A string array with the same text in every row."""
    raw = text.encode()
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(raw))
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(raw * rows)])


def empty_table(schema: pa.Schema) -> pa.Table:
    """No rows of a schema."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
