"""Live columns: features computed for a batch, by the code that fills their tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfs.errors import LoaderError
from mmfs.loader.fetch import Bad
from mmfs.loader.live_features import needing_packages, pinned_features
from mmfs.loader.live_inputs import ABSENT
from mmfs.loader.mixture_reader import SampleReader
from mmfs.loader.rooms import Rooms, Slot
from mmfs.loader.stats import Meter
from mmfs.loader.table_part import BadPlace
from mmfs.settings import Settings
from mmfs.store.pin import Pin

if TYPE_CHECKING:
    from mmfs.features.feature import Feature


class LiveColumns:
    """Computes the live columns of batches from what the reader put into `Rooms.inputs`.

    It is called on the loader's threads, so that models work while training is at an earlier batch. One batch is
    computed at a time: a model need not be thread-safe, and two would fight for the same cores, or the same GPU.

    Attributes:
        slots: The live columns of a batch.
    """

    def __init__(self, features: Sequence[LiveFeature], meter: Meter) -> None:
        self._features = features
        self._meter = meter
        self._lock = threading.Lock()
        self.slots = [slot for feature in features for slot in feature.slots.values()]

    def fill(self, rooms: Rooms, samples: Sequence[int]) -> list[BadPlace]:
        """Compute some samples of a batch.

        Returns:
            Which of them cannot be computed, with the column and why.

        Raises:
            FeatureError: Outputs are not as declared.
            MissingExtraError: A package is not installed.
        """
        with self._lock:
            began = time.perf_counter()
            bad = [one for feature in self._features for one in feature.fill(rooms, samples)]
            self._meter.add_live(time.perf_counter() - began)
        return bad


@dataclass(frozen=True)
class LiveFeature:
    """One loaded feature, and what of it is delivered.

    Attributes:
        feature: Loaded.
        slots: Columns of a batch, by output.
        inputs: By name as the feature knows them: values of a sample.
        stream: Where a GPU does the work: not in the queue of training's own kernels.
    """

    feature: Feature
    slots: Mapping[str, Slot]
    inputs: Mapping[str, int]
    stream: AbstractContextManager[object]

    def fill(self, rooms: Rooms, samples: Sequence[int]) -> list[BadPlace]:
        """Compute the rows of some samples; those that lack an input become what a missing value is."""
        each = next(iter(self.slots.values())).each
        rows, places = [], []
        for place in (sample * each + number for sample in samples for number in range(each)):
            row = {
                name: rooms.inputs[name][place if count == each else place // each]
                for name, count in self.inputs.items()
            }
            if any(value is ABSENT for value in row.values()):
                for slot in self.slots.values():
                    slot.column.clear(rooms.values[slot.name], place)
            else:
                rows.append(row)
                places.append(place)
        return self._compute(rooms, rows, places, each) if rows else []

    def _compute(self, rooms: Rooms, rows: list[dict[str, Any]], places: Sequence[int], each: int) -> list[BadPlace]:
        from mmfs.features.attempt import halving
        from mmfs.features.batching import RowBatch
        from mmfs.features.live import compute_rows

        def step(batch: RowBatch) -> None:
            self._put(rooms, batch.positions, compute_rows(self.feature, batch.values["rows"]))

        first = next(iter(self.slots.values())).name
        # Rows as they are count as one value each here: `compute_rows` batches them by shape.
        batch, failure = RowBatch(list(places), {"rows": rows}), None
        with self.stream, needing_packages(self.feature, first):
            try:
                step(batch)
            except ImportError:
                raise
            except Exception as error:
                failure = error
            if failure is None:
                return []
            _, bad = halving(step, batch, failure)
        return [(row.position // each, first, Bad(row.message)) for row in bad]

    def _put(self, rooms: Rooms, places: Sequence[int], columns: Mapping[str, Sequence[Any]]) -> None:
        for output, slot in self.slots.items():
            room, present = rooms.values[slot.name], rooms.present.get(slot.name)
            for place, value in zip(places, columns[output], strict=True):
                slot.column.put(room, place, value)
                if present is not None:
                    present[place] = True


def open_live(
    pin: Pin, reader: SampleReader, settings: Settings, meter: Meter, *, device: str | None, decode: bool
) -> LiveColumns | None:
    """The live columns of a pin, with their models loaded; None where there are none.

    Args:
        reader: Reads what they are computed from.
        device: Where batches go: each rank's models then share its GPU with its training. None: the setting
            ``device``.
        decode: Whether blobs are handed out decoded.

    Raises:
        LoaderError: A feature is not here or would compute other values, or what is asked for cannot be computed.
        ModelError: Weights cannot be reached or read.
        MissingExtraError: A package is not installed.
    """
    if not pin.live:
        return None
    from mmfs.features.device import resolve_device

    slots: dict[str, dict[str, Slot]] = {}
    for name, live in pin.live.items():
        slot = reader.slot(name, live.value)
        if slot.gives_all:
            raise LoaderError(
                f"captions='all' gives lists, and {name} is computed for one row of a sample",
                mend=f"choose first or random, or pin with grain={live.value.grain!r}",
            )
        if live.value.kind == "blob" and not decode:
            raise LoaderError(
                f"decode=False hands out stored bytes, and {name} is not stored",
                mend="decode, or compute it and pin the stored column",
            )
        slots.setdefault(live.value.table, {})[live.value.field] = slot
    where = device or resolve_device(settings.device)
    found = []
    for table, feature in pinned_features(settings, pin).items():
        with needing_packages(feature, next(iter(slots[table].values())).name):
            feature.load(where)
        inputs = {one.name: reader.inputs[one.name] for one in feature.spec.inputs}
        found.append(LiveFeature(feature, slots[table], inputs, _side_stream(where)))
    return LiveColumns(found, meter)


def _side_stream(device: str) -> AbstractContextManager[object]:
    if not device.startswith("cuda"):
        return nullcontext()
    import torch

    torch.cuda.synchronize(device)  # the model was loaded in another queue
    stream: AbstractContextManager[object] = torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return stream
