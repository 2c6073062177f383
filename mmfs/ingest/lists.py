"""Lists of URIs: CSV, JSON lines and Parquet, read row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IngestError
from mmfs.ingest.locations import suffix_of

LIST_SUFFIXES = frozenset({".csv", ".jsonl", ".ndjson", ".parquet"})

_BATCH_ROWS = 4096


def is_list(location: str) -> bool:
    """Whether the name is that of a list.

    >>> is_list("/data/captions.CSV"), is_list("/data/a.jpg")
    (True, False)
    """
    return suffix_of(location) in LIST_SUFFIXES


def read_rows(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a list as ``(row, cells)``, rows counted from 1.

    Cells of a CSV are text; those of JSON lines and Parquet keep their types. Binary Parquet columns are left out.

    Args:
        file: The open list.
        name: What errors call it; its suffix chooses the format.

    Raises:
        IngestError: The list is malformed; the message names file and row.
    """
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    yield from readers.get(suffix_of(name), _json_rows)(file, name)


def row_error(name: str, row: int, what: str, mend: str) -> IngestError:
    """The error for one row of a list."""
    return IngestError(what, where=f"{name}, row {row}", mend=mend)


def _csv_rows(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    header: list[str] | None = None
    row = 0
    try:
        for cells in reader:
            if header is None:
                header = _header(cells, name)
                continue
            if not cells:
                continue  # an empty line
            row += 1
            if len(cells) > len(header):
                raise row_error(
                    name, row, f"{len(cells)} cells under {len(header)} names", "quote cells that hold commas"
                )
            yield row, dict(zip(header, cells, strict=False))
    except (csv.Error, UnicodeDecodeError) as error:
        raise row_error(name, row + 1, f"is no CSV: {error}", "save the list as UTF-8 CSV") from error
    if header is None:
        raise IngestError("the list is empty", where=name, mend="its first line names the columns")


def _header(cells: list[str], name: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = {cell for cell in names if names.count(cell) > 1}
    if twice:
        raise IngestError(f"the column {min(twice)!r} comes twice", where=name, mend="rename one of them")
    return names


def _json_rows(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise row_error(name, row, f"is no JSON: {error}", "one JSON object a line, in UTF-8") from error
        if not isinstance(cells, dict):
            raise row_error(name, row, f"is a JSON {type(cells).__name__}, not an object", "one JSON object a line")
        yield row, cells


def _parquet_rows(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    try:
        parquet = pq.ParquetFile(file)
        columns = [
            column.name for column in parquet.schema_arrow if not pa.types.is_nested(column.type) or _plain(column.type)
        ]
        columns = [column for column in columns if not _is_binary(parquet.schema_arrow.field(column).type)]
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
            for cells in batch.to_pylist():
                row += 1
                yield row, cells
    except pa.ArrowMemoryError as error:
        raise row_error(
            name, row + 1, "needs more memory than there is", "write the list with smaller values, or free memory"
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise row_error(name, row + 1, f"is no Parquet: {error}", "write the list again") from error


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _plain(kind: pa.DataType) -> bool:
    """Whether a nested type holds no binary, hence can be written as JSON."""
    return not any(
        _is_binary(field.type) or (pa.types.is_nested(field.type) and not _plain(field.type))
        for field in (kind.field(index) for index in range(kind.num_fields))
    )
