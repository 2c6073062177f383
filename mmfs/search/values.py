"""Values as people read them, and rows without pictures as an HTML table of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from mmfs.search.page import escaped

#: Longer texts are cut; a page must not grow with what a caption holds.
LONGEST_TEXT = 200
_YEAR_10000_US = 253_402_300_800_000_000
_TIMES_OF_DAY = ("_at_us", "mtime_us")
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}


def value_text(value: Any, kind: pa.DataType, name: str = "") -> str:
    """One value in short: vectors by type and length, bytes by number, times of day as UTC, long texts cut.

    Args:
        value: As `pyarrow` gives it; not None.
        kind: Type of its column.
        name: Name of its column; that of a time of day ends with ``_at_us`` or ``mtime_us``.

    >>> value_text([0.0] * 4, pa.list_(pa.float16(), 4))
    'float16 [4]'
    >>> value_text(1_700_000_000_000_000, pa.int64(), "saved_at_us")
    '2023-11-14 22:13:20'
    """
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = str(kind.value_type)
        return f"{_FLOATS.get(item, item)} [{len(value)}]"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(_TIMES_OF_DAY) and 0 <= value < _YEAR_10000_US:
        return f"{datetime.fromtimestamp(value / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " ..."


def value_table(rows: pa.Table) -> str:
    """Rows as an HTML table, one column each, everything escaped."""
    numeric = [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in rows.schema]
    head = "".join(
        f"<th{_number(number)}>{escaped(field.name)}</th>" for field, number in zip(rows.schema, numeric, strict=True)
    )
    columns = [
        [_cell(value, field, number) for value in column.to_pylist()]
        for field, column, number in zip(rows.schema, rows.columns, numeric, strict=True)
    ]
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    return (
        f'<div class="scroll"><table class="values"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
    )


def facts(rows: pa.Table, columns: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Of each row the names and texts of these columns, those without a value left out."""
    found: list[list[tuple[str, str]]] = [[] for _ in range(rows.num_rows)]
    for name in columns:
        kind = rows.schema.field(name).type
        for facts_of_row, value in zip(found, rows.column(name).to_pylist(), strict=True):
            if value is not None:
                facts_of_row.append((name, value_text(value, kind, name)))
    return found


def _cell(value: Any, field: pa.Field, number: bool) -> str:
    if value is None:
        return '<td class="missing">-</td>'
    return f"<td{_number(number)}>{escaped(value_text(value, field.type, field.name))}</td>"


def _number(number: bool) -> str:
    return ' class="number"' if number else ""
