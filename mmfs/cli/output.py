"""How results reach the terminal: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# A file or pipe has no width; 80 columns would fold every table.
console = Console(width=None if sys.stdout.isatty() else 140)
errors_console = Console(stderr=True)

#: The ``--json`` option of every command that reads.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print a value as JSON, one document."""
    print(json.dumps(value, indent=2, default=_plain))


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, right: Sequence[str] = ()
) -> None:
    """Print rows as a table. Values are data: they are shown as they are, never read as markup."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    console.print(table)


def print_arrow(table: pa.Table, *, limit: int = 50) -> None:
    """Print an Arrow table, at most ``limit`` rows of it."""
    numeric = [
        field.name for field in table.schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    ]
    shown = table.slice(0, limit)
    print_rows(table.column_names, zip(*(column.to_pylist() for column in shown.columns), strict=True), right=numeric)
    if table.num_rows > limit:
        console.print(f"... {table.num_rows - limit:,} more rows", style="dim")


def human_bytes(size: float) -> str:
    """A size for people, in powers of 1024.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def utc(time_us: int) -> str:
    """A time for people.

    Args:
        time_us: Microseconds since 1970.

    >>> utc(1_700_000_000_000_000)
    '2023-11-14 22:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list) and len(value) > 8:
        return f"[{', '.join(_shown(item) for item in value[:4])}, ... {len(value)} values]"
    # A terminal obeys control characters, so captions and names lose theirs before they are shown.
    return "".join(character if character.isprintable() else " " for character in str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, pa.Table):
        return value.to_pylist()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return str(value)
