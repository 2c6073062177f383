"""The sizes that the operations page tells come from its own arithmetic, and its settings reach the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.search.server_layout import collection_config, payload_schemas
from mmfs.settings import load_settings
from tests.search.engines import SPACE

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
BYTES = {"none": 0.0, "int8": 1.0, "bits4": 0.5}
Sizes = Callable[..., tuple[float, float]]


@pytest.fixture(scope="module")
def build_bytes() -> Sizes:
    """The function that the page defines."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Sizes] = {}
    exec(compile(block, "docs/operations.md", "exec"), names)
    return names["build_bytes"]


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
    [shell] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for name, value in re.findall(r"(MMFS_\w+)=(\S+)", shell):
        monkeypatch.setenv(name, value)
    layout = load_settings().qdrant_layout
    assert [name for name, *_ in rows_after("| setting | default |")] == [
        f"MMFS_QDRANT_LAYOUT__{name.upper()}" for name in type(layout).model_fields
    ]
    told = collection_config(SPACE, layout)
    assert told["vectors_config"].on_disk
    assert told["quantization_config"].turbo.always_ram
    assert not told["hnsw_config"].on_disk
    assert told["hnsw_config"].m == 16
    assert all(schema.on_disk for schema in payload_schemas(SPACE, layout).values())
