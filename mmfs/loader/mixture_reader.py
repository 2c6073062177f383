"""Reads samples of a mixture: each from its own pin, into the same batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfs.loader.mixture import Mixture
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.loader.rooms import Rooms, Slot
from mmfs.loader.stats import Traffic
from mmfs.loader.table_part import BadPlace
from mmfs.store.keys import Ids, Int64s
from mmfs.store.objects import Objects
from mmfs.store.pin import Pin, PinnedColumn

if TYPE_CHECKING:
    from torch import Tensor


class MixtureReader:
    """Reads samples of several pins by number; see `PinReader`, whose surface this is.

    Args:
        readers: One a pin, of columns that are alike.
        samples: Samples of each pin; their numbers follow those of the pins before.
    """

    def __init__(self, readers: Sequence[PinReader], samples: Sequence[int]) -> None:
        self._readers = tuple(readers)
        self._first = np.cumsum([0, *samples])

    @property
    def slots(self) -> list[Slot]:
        """The stored columns of a batch."""
        return self._readers[0].slots

    @property
    def at_once(self) -> int:
        """Samples that one thread should read at a time."""
        return self._readers[0].at_once

    @property
    def inputs(self) -> Mapping[str, int]:
        """What live columns are computed from, by name: values of a sample."""
        return self._readers[0].inputs

    @property
    def has_masks(self) -> bool:
        """Whether samples with missing values are delivered, with masks."""
        return self._readers[0].has_masks

    @property
    def traffic(self) -> Traffic:
        """Bytes read so far, and where from."""
        return sum((reader.traffic for reader in self._readers), Traffic())

    def download(self, rank: int, world_size: int, threads: int) -> None:
        """Bring all samples of all pins to the node's disk; see `PinReader.download`."""
        for reader in self._readers:
            reader.download(rank, world_size, threads)

    def slot(self, name: str, source: PinnedColumn) -> Slot:
        """The part that a column of this kind and grain has of every batch."""
        return self._readers[0].slot(name, source)

    def fill(self, rooms: Rooms, places: Int64s, samples: Int64s, draws: Int64s) -> tuple[list[str], list[BadPlace]]:
        """Read samples into places of a batch, from each pin its own; see `PinReader.fill`."""
        keys: list[str] = [""] * len(samples)
        bad: list[BadPlace] = []
        for reader, mine, numbers in self._parts(samples):
            names, failed = reader.fill(rooms, places[mine], numbers, draws[mine])
            for number, name in zip(mine.tolist(), names, strict=True):
                keys[number] = name
            bad += [(int(mine[number]), column, why) for number, column, why in failed]
        return keys, bad

    def keys(self, samples: Int64s) -> list[str]:
        """Keys of samples, as in ``batch["_key"]``."""
        keys = [""] * len(samples)
        for reader, mine, numbers in self._parts(samples):
            for number, name in zip(mine.tolist(), reader.keys(numbers), strict=True):
                keys[number] = name
        return keys

    def labels(self, samples: Int64s) -> dict[str, Tensor]:
        """``_source``, int64 [B]: the number of each sample's pin."""
        import torch

        return {"_source": torch.from_numpy(self._sources(samples))}

    def _parts(self, samples: Int64s) -> Iterator[tuple[PinReader, Int64s, Int64s]]:
        """The reader of each pin that has any of the samples, which of them it has, and their numbers in the pin."""
        sources = self._sources(samples)
        for source in np.unique(sources).tolist():
            mine = np.flatnonzero(sources == source)
            yield self._readers[source], mine, samples[mine] - self._first[source]

    def _sources(self, samples: Int64s) -> Int64s:
        found: Int64s = np.searchsorted(self._first, samples, side="right") - 1
        return found


#: Reads the samples of whatever a loader may be given.
SampleReader = PinReader | MixtureReader


def open_reader(
    objects: Objects, pin: Pin | Mixture, options: ReadOptions, taken_down: Ids | None = None
) -> SampleReader:
    """The reader of a pin, or of all pins of a mixture."""
    if isinstance(pin, Pin):
        return PinReader(objects, pin, options, taken_down)
    readers = [PinReader(objects, one, options, taken_down) for one in pin.pins]
    return MixtureReader(readers, [one.samples for one in pin.pins])
