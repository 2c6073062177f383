"""Batches of prepared rows that have the same shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

#: Prepared rows held back for full batches, as a multiple of the batch size.
_HELD_BATCHES = 8


@dataclass(frozen=True)
class PreparedRow:
    """One row, ready to be batched.

    Attributes:
        position: Position of the row in the shard's upstream rows.
        values: What ``Feature.prepare`` returned.
    """

    position: int
    values: dict[str, Any]


def batches(rows: Iterable[PreparedRow], batch_size: int) -> Iterator[list[PreparedRow]]:
    """Rows grouped by the shapes of their tensors, ``batch_size`` a batch.

    When too many shapes are waiting for company, the fullest group goes as it is; what is left at the end goes
    group by group. The result depends on the order of the rows alone.
    """
    waiting: dict[tuple[Any, ...], list[PreparedRow]] = {}
    held = 0
    for row in rows:
        shapes = _shapes(row.values)
        group = waiting.setdefault(shapes, [])
        group.append(row)
        held += 1
        if len(group) < batch_size:
            if held < _HELD_BATCHES * batch_size:
                continue
            shapes = max(waiting, key=lambda key: len(waiting[key]))
        group = waiting.pop(shapes)
        held -= len(group)
        yield group
    yield from waiting.values()


def collate(rows: list[PreparedRow]) -> dict[str, Any]:
    """One batch as ``Feature.compute`` takes it: tensors stacked to ``[B, ...]``, other values in lists of B."""
    import torch

    batch: dict[str, Any] = {}
    for name, first in rows[0].values.items():
        values = [row.values[name] for row in rows]
        batch[name] = torch.stack(values) if isinstance(first, torch.Tensor) else values
    return batch


def _shapes(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple((name, tuple(getattr(value, "shape", ()))) for name, value in sorted(values.items()))
