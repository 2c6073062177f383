"""A chain of three small features over numbers of frames, whose code, weights and parameters a test can change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from mmfs.features.feature import Feature, Scalar, feature
from mmfs.store import Store
from tests.features.tiny import SHARD, media_id

#: Media number, frame index, mark of the frame.
Frame = tuple[int, int, str]


class Factor(BaseModel):
    model_config = ConfigDict(frozen=True)
    factor: float = 2.0


class _Chained(Feature):
    outputs = {"value": Scalar("float64")}
    batch_size = 16
    weights = "w0"

    def weights_digest(self) -> str:
        return self.weights


@feature(table="firsts", grain="frame", inputs=["frames.time_s"])
class First(_Chained):
    """Doubles the time."""

    config = Factor()

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"value": [self.config.factor * time_s for time_s in batch["frames.time_s"]]}


@feature(table="firsts", grain="frame", inputs=["frames.time_s"])
class RewrittenFirst(First):
    """The same table by other code."""

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"value": [self.config.factor * time_s + 1 for time_s in batch["frames.time_s"]]}


@feature(table="seconds", grain="frame", inputs=["firsts.value", "firsts.value@previous"])
class Second(_Chained):
    """The step from the frame before."""

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        steps = zip(batch["firsts.value"], batch["firsts.value@previous"], strict=True)
        return {"value": [value - before for value, before in steps]}


@feature(table="thirds", grain="frame", inputs=["seconds.value", "frames.time_s"])
class Third(_Chained):
    """A sum, where the frame is not broken."""

    broken: ClassVar[set[float]] = set()

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        times = batch["frames.time_s"]
        if self.broken & set(times):
            raise RuntimeError("this one cannot be computed")
        return {"value": [value + time_s for value, time_s in zip(batch["seconds.value"], times, strict=True)]}


def put_frames(store: Store, frames: Iterable[Frame], shard: str = SHARD) -> None:
    """Make these the frames of a shard. Their pictures are nowhere: nothing here looks at them."""
    rows = [
        {
            "media_id": media_id(number),
            "frame_index": index,
            "pts_us": 0,
            "time_s": time_of(number, index),
            "frame_width": 4,
            "frame_height": 4,
            "is_keyframe": True,
            "pack": "none",
            "offset": 0,
            "length": 0,
            "crc32": 0,
            "fingerprint": mark,
        }
        for number, index, mark in frames
    ]
    schema = pa.schema([f for f in store.tables.spec("frames").arrow_schema() if f.name != "shard"])
    store.tables.update("frames", shard, lambda _: pa.Table.from_pylist(rows, schema=schema))


def time_of(number: int, index: int) -> float:
    """The time of a frame, which tells it from all others."""
    return number + index / 100
