"""The sizes that the operations page tells come from its own arithmetic, and its settings reach the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.ingest.assign import MAX_SHARDS
from mmfs.ingest.filling import Limits
from mmfs.search.server_layout import collection_config, payload_schemas
from mmfs.settings import Settings, load_settings
from mmfs_assets.assets.maintenance import COMPACTION, VACUUM, VERIFICATION
from tests.ingest.years import are_of_intended_size, year_of
from tests.search.engines import SPACE

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
BYTES = {"none": 0.0, "int8": 1.0, "bits4": 0.5}
Sizes = Callable[..., tuple[float, float]]


@pytest.fixture(scope="module")
def build_bytes() -> Sizes:
    return defined("build_bytes")


def defined(name: str) -> Callable[..., tuple[float, ...]]:
    """A function that the page defines."""
    [block] = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"def {name}(" in text]
    names: dict[str, Callable[..., tuple[float, ...]]] = {}
    exec(compile(block, "docs/operations.md", "exec"), names)
    return names[name]


def rows_after(head: str) -> list[list[str]]:
    """The cells of the table that begins with this head."""
    lines = PAGE[PAGE.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]


def test_every_size_on_the_page_is_what_its_arithmetic_gives(build_bytes: Sizes) -> None:
    table = rows_after("| rows | quantization |")
    assert len(table) == 5
    for rows, quantization, place, *told in table:
        sizes = build_bytes(int(rows.replace(",", "")), quantized=BYTES[quantization], on_disk=place == "on disk")
        for size, cell in zip(sizes, told, strict=True):
            digits = 1 if "." in cell else 0
            assert round(size / 1e9, digits) == float(cell.replace(",", "")), (rows, quantization, cell)


def test_what_a_row_takes_in_memory_is_told_part_by_part(build_bytes: Sizes) -> None:
    memory, _ = build_bytes(1)
    parts = [int(part) for part in re.findall(r"\d+", PAGE[PAGE.index("Of the 416") :].partition("ids.")[0])]
    total, bits, *rest = parts
    assert (total, bits, sum(rest)) == (round(memory), 4, round(memory))
    more, _ = build_bytes(1, m=17)
    assert more - memory == pytest.approx(8, abs=0.1)


def test_the_settings_of_the_page_are_what_the_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    [shell] = [text for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "MMFS_QDRANT_LAYOUT" in text]
    for name, value in re.findall(r"(MMFS_\w+)=(\S+)", shell):
        monkeypatch.setenv(name, value)
    layout = load_settings().qdrant_layout
    assert [name for name, *_ in rows_after("| setting | default | what the server")] == [
        f"MMFS_QDRANT_LAYOUT__{name.upper()}" for name in type(layout).model_fields
    ]
    told = collection_config(SPACE, layout)
    assert told["vectors_config"].on_disk
    assert told["quantization_config"].turbo.always_ram
    assert not told["hnsw_config"].on_disk
    assert told["hnsw_config"].m == 16
    assert all(schema.on_disk for schema in payload_schemas(SPACE, layout).values())


def test_the_size_of_a_store_is_what_the_pages_arithmetic_gives() -> None:
    store_size = defined("store_size")
    table = rows_after("| media | mean size, MB |")
    assert len(table) == 5
    for files, mean_mb, target_mb, *told in table:
        sizes = store_size(int(files.replace(",", "")), float(mean_mb), target_mb=int(target_mb))
        for size, cell in zip(sizes, told, strict=True):
            assert round(size, 1 if "." in cell else 0) == float(cell.replace(",", "")), (files, mean_mb, cell)


def test_a_year_of_media_makes_the_shards_that_the_page_tells() -> None:
    table = rows_after("| a day | kind, median size |")
    assert len(table) == 5
    for files_a_day, kind, target_mb, shards in table:
        limits = Limits(int(target_mb) << 20, Settings().shard_max_files)
        found, largest = year_of(kind.partition(",")[0], int(files_a_day.replace(",", "")), limits)
        assert len(found) == int(shards.replace(",", "")) < MAX_SHARDS, (files_a_day, kind)
        assert are_of_intended_size(found, largest, limits)


def test_the_parts_of_maintenance_are_those_that_there_are() -> None:
    assert [part for part, *_ in rows_after("| part | command |")] == [COMPACTION, VACUUM, VERIFICATION]
