"""One batch in the making: read in chunks by any thread, then mended and turned into tensors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmfs.errors import LoaderError
from mmfs.loader.buffers import BufferPool
from mmfs.loader.fetch import Bad
from mmfs.loader.live import LiveColumns
from mmfs.loader.mixture_reader import SampleReader
from mmfs.loader.rooms import Rooms
from mmfs.loader.state import State
from mmfs.loader.stats import BadSample, Meter
from mmfs.loader.step import Step
from mmfs.store.keys import Int64s
from mmfs.store.pin import LIVE

log = logging.getLogger("mmfs.loader")

Batch = dict[str, Any]
#: What becomes of damaged samples; see `Loader`.
BadSamples = Literal["repeat", "error"]
Transforms = Mapping[str, Callable[[Any], Any]]

#: Substitutes tried when a whole batch is bad.
_SUBSTITUTES = 64


@dataclass(frozen=True)
class Making:
    """What all batches of a loader share.

    Attributes:
        columns: Columns of a batch, in order.
        live: Computes those that are not stored; None where there are none.
    """

    columns: Sequence[str]
    reader: SampleReader
    live: LiveColumns | None
    pool: BufferPool
    meter: Meter
    transforms: Transforms
    to_device: Callable[[Batch], Batch]
    bad_samples: BadSamples = "repeat"


class BatchJob:
    """The making of one batch; see `pipeline.Job`."""

    def __init__(self, step: Step, making: Making) -> None:
        self._step = step
        self._making = making
        self._size = len(step.samples)
        reader = making.reader
        slots = [*reader.slots, *(making.live.slots if making.live else ())]
        self._rooms = Rooms(slots, reader.inputs, self._size, making.pool, has_masks=reader.has_masks, size=step.size)
        self._keys = [""] * self._size
        self._samples = step.samples.copy()
        self._valid = step.valid.copy()
        self._bad: dict[int, tuple[str, Bad]] = {}
        self._chunk = reader.at_once
        self.parts = -(-self._size // self._chunk)

    def run(self, part: int) -> None:
        """Read one chunk of the batch."""
        chunk = slice(part * self._chunk, min((part + 1) * self._chunk, self._size))
        self._read(np.arange(chunk.start, chunk.stop), self._step.samples[chunk], self._step.draws[chunk])

    def finish(self) -> tuple[State, Batch]:
        """Compute live columns, fill bad places with repeats, make tensors, transform, move to the device."""
        import torch

        making = self._making
        self._compute([place for place in range(self._size) if place not in self._bad])
        if self._bad:
            self._mend()
        batch = self._rooms.batch(making.columns)
        batch |= {"_key": self._keys, "_valid": torch.from_numpy(self._valid)} | making.reader.labels(self._samples)
        for column, transform in making.transforms.items():
            batch[column] = transform(batch[column])
        del self._rooms
        return self._step.after, making.to_device(batch)

    def _read(self, places: Int64s, samples: Int64s, draws: Int64s) -> None:
        keys, bad = self._making.reader.fill(self._rooms, places, samples, draws)
        for place, key in zip(places.tolist(), keys, strict=True):
            self._keys[place] = key
        for number, column, why in bad:
            self._bad.setdefault(int(places[number]), (column, why))

    def _compute(self, places: Sequence[int]) -> None:
        if self._making.live is not None:
            for place, column, why in self._making.live.fill(self._rooms, places):
                self._bad.setdefault(place, (column, why))

    def _mend(self) -> None:
        """Every bad place becomes a repeat of the next good sample, marked as not valid and reported.

        Raises:
            LoaderError: Bad samples are errors here, or there is no good one.
        """
        making = self._making
        for place, (column, why) in sorted(self._bad.items()):
            sample = BadSample(self._keys[place], column, why.reason, why.pack, why.offset)
            making.meter.add_bad(sample)
            log.warning("bad sample %s", sample)
            if making.bad_samples == "error" and column != "_key":
                raise LoaderError(
                    f"bad sample {sample.key}: {column}: {why.reason}",
                    where=f"{why.pack} at {why.offset}" if why.pack else None,
                    mend="materialize what is damaged and pin again, or load with bad_samples='repeat'",
                )
        good = [place for place in range(self._size) if place not in self._bad]
        bad = sorted(self._bad)
        if not good:
            self._substitute()
            good, bad = [0], bad[1:]
            self._valid[0] = False
        for place in bad:
            source = next((candidate for candidate in good if candidate > place), good[0])
            self._rooms.repeat(source, place)
            self._keys[place] = self._keys[source]
            self._samples[place] = self._samples[source]
            self._valid[place] = False

    def _substitute(self) -> None:
        """Put some readable sample at the first place.

        Raises:
            LoaderError: The next samples are all bad as well: the data are, not a sample.
        """
        for number, sample in enumerate(self._step.substitutes()):
            if number == _SUBSTITUTES:
                break
            self._bad.clear()
            self._samples[0] = sample
            self._read(np.zeros(1, np.int64), np.array([sample], np.int64), self._step.draws[:1])
            if not self._bad:
                self._compute([0])
            if not self._bad:
                return
        column, why = next(iter(self._bad.values()))
        mend = "run `mmfs verify --drop-damaged`, then `mmfs materialize`, and pin again"
        if column.startswith(LIVE):
            mend = "so many in a row mean a broken model or compute method: check its weights and code"
        raise LoaderError(
            f"{self._size} samples of a batch and all substitutes tried are bad; the last: {column}: {why.reason}",
            where=f"{why.pack} at {why.offset}" if why.pack else None,
            mend=mend,
        )
