"""What the pages say of settings: their names, and the defaults in tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mmfs.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def defaults(model: BaseModel, prefix: str = "MMFS_") -> Iterator[tuple[str, Any]]:
    """Variables and what they are by default, sections included."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        yield prefix + name.upper(), value
        if isinstance(value, BaseModel):
            yield from defaults(value, f"{prefix}{name.upper()}__")


def tables_of_settings(page: str) -> Iterator[tuple[str, str]]:
    """Names and defaults in the tables that begin with these two columns."""
    for table in re.findall(r"^\| setting \| default \|.*\n\|[- |]+\n((?:\|.*\n)+)", page, re.MULTILINE):
        for row in table.splitlines():
            name, default = (cell.strip(" `") for cell in row.strip("|").split("|")[:2])
            yield name, default


def as_written(value: Any) -> str:
    """A default as a page writes it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_is_one(page: str) -> None:
    known = {name for name, _ in defaults(Settings.model_construct())}
    named = re.findall(r"MMFS_[A-Z0-9_]*[A-Z0-9]", PAGES[page])
    assert [name for name in named if name not in known] == []


def test_the_defaults_in_tables_are_the_defaults() -> None:
    told = [row for page in PAGES.values() for row in tables_of_settings(page)]
    known = {name: as_written(value) for name, value in defaults(Settings.model_construct())}
    assert len(told) >= 7
    assert [(name, default) for name, default in told if known[name] != default] == []


def test_the_shards_of_a_run_are_as_many_as_the_page_says() -> None:
    [told] = re.findall(r"`MMFS_SHARDS_PER_RUN`\s+shards \((\d+); (\d+) where", PAGES["operations.md"])
    settings = [Settings.model_construct(executor=executor) for executor in ("local", "gpu_box")]
    assert [int(number) for number in told] == [each.shards_in_run for each in settings]
