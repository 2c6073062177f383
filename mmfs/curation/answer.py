"""What a call returns: a table with key columns that knows how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmfs.curation.selection import Samples, key_table
from mmfs.store.keys import Int64s
from mmfs.store.subsets import Provenance

_FIGURES = b"mmfs.figures"


@dataclass(frozen=True)
class Call:
    """A call, as subsets record it.

    Attributes:
        name: What was called.
        arguments: Its arguments by name, those that are None left out of the text.
        where: The condition, which has a column of its own.
        model: Model of the vectors; None where none are read.
        versions: Version of every table that was read.
    """

    name: str
    arguments: Mapping[str, Any]
    where: str | None
    model: str | None
    versions: Mapping[str, int]

    @property
    def text(self) -> str:
        """The call as it would be written.

        >>> Call("diverse", {"n": 5, "seed": 0, "subset": None}, None, None, {}).text
        'diverse(n=5, seed=0)'
        """
        given = [f"{name}={value!r}" for name, value in self.arguments.items() if value is not None]
        return f"{self.name}({', '.join(given)})"

    def provenance(self) -> Provenance:
        """What `mmfs.store.subsets.save_subset` stores beside the samples."""
        return Provenance(query=self.text, where=self.where, model=self.model, source_versions=dict(self.versions))


def answer(
    call: Call,
    samples: Samples,
    rows: Int64s,
    columns: Mapping[str, pa.Array],
    figures: Mapping[str, Any],
) -> pa.Table:
    """Samples with their figures, one row each.

    Args:
        rows: The samples, in the order of the answer, int64 [n].
        columns: Columns beside the keys, [n] each.
        figures: Numbers about the whole answer; `figures_of` gives them back.
    """
    table = key_table(samples, rows)
    for name, column in columns.items():
        table = table.append_column(name, column)
    return with_metadata(table, call, figures)


def with_metadata(table: pa.Table, call: Call, figures: Mapping[str, Any]) -> pa.Table:
    """The table with its provenance and figures in the metadata of its schema."""
    return table.replace_schema_metadata({**call.provenance().metadata(), _FIGURES: json.dumps(dict(figures)).encode()})


def figures_of(table: pa.Table) -> dict[str, Any]:
    """Numbers about a whole answer: coverage, sizes, quantiles. Empty for other tables."""
    return dict(json.loads((table.schema.metadata or {}).get(_FIGURES, b"{}")))
