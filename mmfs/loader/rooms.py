"""A batch in the making: room for every column, which values are there, and what live columns are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.loader.buffers import BufferPool
from mmfs.loader.columns import BatchColumn, Size


@dataclass(frozen=True)
class Slot:
    """One column's part of every batch.

    Attributes:
        name: Its name in the batch.
        column: What it is made of.
        each: Values of a sample: T for a window, 1 for single rows and for coarser tables.
        is_windowed: Whether its value is [B, T, ...].
        gives_all: Whether a sample's value is a list of all that its media has.
    """

    name: str
    column: BatchColumn
    each: int
    is_windowed: bool
    gives_all: bool = False


class Rooms:
    """Values of a batch of samples, flat, by column.

    Args:
        slots: The columns.
        inputs: What live columns are computed from, by name: how many values a sample has.
        samples: Samples of the batch.
        pool: Where buffers come from.
        size: Height and width of pictures, where batches differ in it.
        has_masks: Whether missing values are delivered, with a mask.

    Attributes:
        size: As given.
        values: By column: what its `BatchColumn` made room for.
        present: By column: which values are there; empty without masks.
        inputs: By name: one value each, as features take them.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        inputs: Mapping[str, int],
        samples: int,
        pool: BufferPool,
        *,
        has_masks: bool,
        size: Size | None = None,
    ) -> None:
        self._slots = slots
        self._samples = samples
        self.size = size
        self.values: dict[str, Any] = {
            slot.name: [None] * samples if slot.gives_all else slot.column.room(samples * slot.each, pool, size)
            for slot in slots
        }
        self.present: dict[str, npt.NDArray[np.bool_]] = (
            {slot.name: np.zeros(samples * slot.each, np.bool_) for slot in slots} if has_masks else {}
        )
        self.inputs: dict[str, list[Any]] = {name: [None] * (samples * each) for name, each in inputs.items()}

    def repeat(self, source: int, target: int) -> None:
        """Copy one sample over another."""
        for slot in self._slots:
            for values in (self.values[slot.name], self.present.get(slot.name)):
                if values is not None:
                    for place in range(slot.each):
                        values[target * slot.each + place] = values[source * slot.each + place]

    def batch(self, order: Sequence[str]) -> dict[str, Any]:
        """The batch's values, columns in this order, then what belongs to them, then the masks."""
        import torch

        found: dict[str, Any] = {}
        extras: dict[str, Any] = {}
        masks: dict[str, Any] = {}
        for slot in self._slots:
            shape = (self._samples, slot.each) if slot.is_windowed else (self._samples,)
            values = self.values[slot.name]
            if slot.gives_all:
                found[slot.name] = values
            else:
                found[slot.name] = slot.column.value(values, shape)
                more = slot.column.extras(values, shape)
                extras |= {f"{slot.name}:{name}": value for name, value in more.items()}
            if slot.name in self.present:
                masks[f"{slot.name}:present"] = torch.from_numpy(self.present[slot.name]).reshape(shape)
        return {**{name: found[name] for name in order}, **extras, **masks}
