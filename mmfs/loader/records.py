"""Table rows as fixed-width records: what a loader keeps of a row, and how it is taken out of Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.errors import IntegrityError
from mmfs.schemas import Grain
from mmfs.store.arrays import as_bools, as_numpy
from mmfs.store.keys import ID_LENGTH, Keys, key_columns
from mmfs.store.pin import PinnedColumn

Records = npt.NDArray[np.void]

#: Where a blob lies: number of its pack among the pinned ones, and bytes in it.
_REFERENCE = np.dtype([("pack", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("crc32", "<u4")])
#: Where a text lies in the heap.
_SPAN = np.dtype([("offset", "<i8"), ("length", "<i8")])


@dataclass(frozen=True)
class Field:
    """One value of a record: named after its column, with a flag ``<name>?`` that says whether it is there."""

    name: str
    kind: str
    dtype: str | None
    dim: int | None

    @classmethod
    def of(cls, source: PinnedColumn) -> Field:
        return cls(source.field, source.kind, source.dtype, source.dim)

    @property
    def stored(self) -> tuple[str, ...]:
        """Columns that it is made from."""
        return ("pack", "offset", "length", "crc32") if self.kind == "blob" else (self.name,)


def record_dtype(grain: Grain, fields: Sequence[Field]) -> np.dtype[np.void]:
    """The record: ``media`` (S32), ``index`` (int64, 0 at the grain of media), then value and flag of each field."""
    parts: list[tuple[str, object] | tuple[str, object, tuple[int, ...]]] = [
        (_MEDIA, f"S{ID_LENGTH}"),
        (_INDEX, "<i8"),
    ]
    for field in fields:
        if field.kind == "blob":
            parts.append((field.name, _REFERENCE))
        elif field.kind == "text":
            parts.append((field.name, _SPAN))
        elif field.kind == "vector":
            parts.append((field.name, field.dtype, (field.dim or 0,)))
        else:
            parts.append((field.name, field.dtype))
        parts.append((f"{field.name}?", "?"))
    return np.dtype(parts)


def keys_in(records: Records, grain: Grain) -> Keys:
    """The keys of records."""
    return Keys(records[_MEDIA], None if len(key_columns(grain)) == 1 else records[_INDEX])


def records_of(
    rows: pa.Table,
    grain: Grain,
    fields: Sequence[Field],
    packs: Mapping[str, int],
    append: Callable[[memoryview], int],
    path: str,
) -> Records:
    """Rows as records.

    Args:
        rows: The stored columns: vectors packed, names of packs as a dictionary.
        packs: Number of each pinned pack; rows of others were not selected and are marked absent.
        append: Puts text bytes into the heap.
        path: The file, for errors.

    Raises:
        IntegrityError: Vectors have another dimension than the pin says.
    """
    records = np.zeros(rows.num_rows, record_dtype(grain, fields))
    keys = Keys.of(rows, grain)
    records[_MEDIA] = keys.media
    if keys.index is not None:
        records[_INDEX] = keys.index
    for field in fields:
        # A column may have come to the table after the file: then no row has it.
        if set(field.stored) <= set(rows.column_names):
            _FILL[field.kind](records, rows, field, packs, append, path)
    return records


def _fill_scalar(records: Records, rows: pa.Table, field: Field, packs: object, append: object, path: str) -> None:
    column = rows.column(field.name).combine_chunks()
    there = _present(column)
    records[f"{field.name}?"] = there
    values: npt.NDArray[np.generic] = as_bools(column) if field.dtype == "?" else as_numpy(column)
    records[field.name][there] = values[there]


def _fill_vector(records: Records, rows: pa.Table, field: Field, packs: object, append: object, path: str) -> None:
    column = rows.column(field.name).combine_chunks()
    there = _present(column)
    records[f"{field.name}?"] = there
    width = np.dtype(field.dtype).itemsize * (field.dim or 0)
    offsets, data = _variable(column)
    if not (np.diff(offsets)[there] == width).all():
        raise IntegrityError(
            f"{path}: a vector of {field.name} does not have {field.dim} numbers",
            mend="the shards were computed by different models; materialize the stale ones and pin again",
        )
    if data is not None:
        values = np.frombuffer(data, np.dtype(field.dtype), int(there.sum()) * (field.dim or 0), int(offsets[0]))
        records[field.name][there] = values.reshape(-1, field.dim or 0)


def _fill_text(
    records: Records,
    rows: pa.Table,
    field: Field,
    packs: object,
    append: Callable[[memoryview], int],
    path: str,
) -> None:
    column = rows.column(field.name).combine_chunks()
    records[f"{field.name}?"] = _present(column)
    offsets, data = _variable(column)
    start = append(memoryview(data)[int(offsets[0]) : int(offsets[-1])]) if data is not None else 0
    records[field.name]["offset"] = start + offsets[:-1] - offsets[0]
    records[field.name]["length"] = np.diff(offsets)


def _fill_blob(
    records: Records, rows: pa.Table, field: Field, packs: Mapping[str, int], append: object, path: str
) -> None:
    names = rows.column("pack").combine_chunks()  # a dictionary, as it is read
    numbers = np.array([packs.get(name, -1) for name in names.dictionary.to_pylist()] + [-1], np.int32)
    codes = np.where(_present(names), as_numpy(names.indices), -1)
    reference = records[field.name]
    reference["pack"] = numbers[codes]
    there = reference["pack"] >= 0
    records[f"{field.name}?"] = there
    for part in ("offset", "length", "crc32"):
        reference[part][there] = as_numpy(rows.column(part).combine_chunks())[there]


_FILL = {"scalar": _fill_scalar, "vector": _fill_vector, "text": _fill_text, "blob": _fill_blob}
_MEDIA, _INDEX = "media ", "index "  # with a space: no column is called so


def _present(column: pa.Array) -> npt.NDArray[np.bool_]:
    if column.null_count == 0:
        return np.ones(len(column), np.bool_)
    return as_bools(column.is_valid())


def _variable(column: pa.Array) -> tuple[npt.NDArray[np.int32], pa.Buffer | None]:
    """Offsets and bytes of a string or binary array."""
    if len(column) == 0:
        return np.zeros(1, np.int32), None
    _, offsets, data = column.buffers()
    return np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4), data
