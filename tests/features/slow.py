"""A feature that takes its time, so that what happens beside it can be seen."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from mmfs.features.feature import Feature, Scalar, feature


@feature(table="slow_times", grain="frame", inputs=["frames.time_s"])
class SlowTimes(Feature):
    """Doubles the time of a frame, slowly, on a device."""

    outputs: ClassVar[dict[str, Any]] = {"value": Scalar("float64")}
    needs_gpu = True
    batch_size = 1

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(float(os.environ.get("TEST_SLOW_S", "0")))
        return {"value": [2.0 * time_s for time_s in batch["frames.time_s"]]}
