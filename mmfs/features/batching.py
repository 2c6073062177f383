"""Batches as dictionaries of tensors ``[B, ...]`` and lists of B values: cut, joined, and collected by shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Batch = dict[str, Any]
Shapes = tuple[Any, ...]

#: Prepared rows held back for full batches, as a multiple of the batch size.
_HELD_BATCHES = 8


def is_tensor(value: Any) -> bool:
    """Whether a batch keeps this as a tensor; everything else is a list."""
    return hasattr(value, "untyped_storage")


def stack(rows: Sequence[Batch]) -> Batch:
    """Rows of equal shapes as one batch: tensors stacked to ``[B, ...]``, other values in lists of B."""
    import torch

    batch: Batch = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        batch[name] = torch.stack(values) if is_tensor(first) else values
    return batch


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """Rows ``[start, stop)`` of a batch, without a copy of tensors."""
    return {name: value[start:stop] for name, value in batch.items()}


def join(parts: Sequence[Batch]) -> Batch:
    """Batches of equal shapes, one after the other."""
    import torch

    if len(parts) == 1:
        return parts[0]
    joined: Batch = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        joined[name] = torch.cat(values) if is_tensor(first) else [one for value in values for one in value]
    return joined


def row_shapes(row: Batch) -> Shapes:
    """What rows must have in common to be stacked."""
    return tuple(
        (name, tuple(value.shape), value.dtype) if is_tensor(value) else name for name, value in sorted(row.items())
    )


def batch_shapes(batch: Batch) -> Shapes:
    """What batches must have in common to be joined: the shapes of their rows."""
    return tuple(
        (name, tuple(value.shape[1:]), value.dtype) if is_tensor(value) else name
        for name, value in sorted(batch.items())
    )


@dataclass(frozen=True)
class RowBatch:
    """Some rows of a shard.

    Attributes:
        positions: Their positions in the shard's upstream rows.
        values: Tensors ``[B, ...]`` and lists of B values.
    """

    positions: list[int]
    values: Batch

    def __len__(self) -> int:
        return len(self.positions)

    def cut(self, start: int, stop: int) -> RowBatch:
        """Rows ``[start, stop)``."""
        return RowBatch(self.positions[start:stop], cut(self.values, start, stop))


class ShapeBuckets:
    """Collects rows by shape and gives them out in batches of one size.

    When too many shapes are waiting for company, the fullest bucket goes as it is; what is left at the end goes bucket
    by bucket. What comes out depends on the order of the rows alone, and a run that begins after the first k batches
    of another one gives out the same batches from there on: so a run that was killed ends with the same rows.
    """

    def __init__(self, batch_size: int) -> None:
        self._size = batch_size
        self._waiting: dict[Shapes, list[RowBatch]] = {}
        self._held = 0

    def shrink(self, batch_size: int) -> None:
        """Give out batches of another size from now on."""
        self._size = batch_size

    def add(self, rows: RowBatch) -> Iterator[RowBatch]:
        """Take rows of one shape; the batches that are full now."""
        shapes, start = batch_shapes(rows.values), 0
        while start < len(rows):
            bucket = self._waiting.setdefault(shapes, [])
            room = min(self._size - sum(map(len, bucket)), self._most_held - self._held)
            taken = rows.cut(start, start + max(1, room))
            start += len(taken)
            bucket.append(taken)
            self._held += len(taken)
            if sum(map(len, bucket)) >= self._size:
                yield from self._emit(shapes)
            elif self._held >= self._most_held:
                yield from self._emit(max(self._waiting, key=lambda key: sum(map(len, self._waiting[key]))))

    def rest(self) -> Iterator[RowBatch]:
        """What is left, bucket by bucket."""
        while self._waiting:
            yield from self._emit(next(iter(self._waiting)))

    @property
    def _most_held(self) -> int:
        return _HELD_BATCHES * self._size

    def _emit(self, shapes: Shapes) -> Iterator[RowBatch]:
        bucket = self._waiting.pop(shapes)
        rows = RowBatch([p for part in bucket for p in part.positions], join([part.values for part in bucket]))
        self._held -= len(rows)
        for start in range(0, len(rows), self._size):
            yield rows.cut(start, start + self._size)
