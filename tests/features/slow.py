"""A feature that takes as long as a test wants it to, so that what happens beside it can be seen."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmfs.features.feature import Feature, Scalar, feature

#: The module, as ``MMFS_FEATURES`` names it, and the table of its feature.
FEATURES, TABLE = __name__, "slow_times"
#: A process that a failed test leaves behind ends by itself.
_PATIENCE_S = 1800


@dataclass(frozen=True)
class Gate:
    """Where processes stop until a test lets them pass: so they work at one time, however slow the machine is.

    Attributes:
        folder: Directory that all of them see.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables that stop the feature at this gate."""
        return {"TEST_GATE": str(self.folder)}

    def reached_by(self) -> set[int]:
        """Ids of the processes that have come to the gate, dead ones included."""
        return {int(file.name) for file in self.folder.glob("[0-9]*")}

    def open(self) -> None:
        """Let all pass, those that come later, too."""
        (self.folder / "open").touch()

    def pass_through(self) -> None:
        """Wait until it is open.

        Raises:
            TimeoutError: Nobody opened it.
        """
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + _PATIENCE_S
        while not (self.folder / "open").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody opened the gate {self.folder}")
            time.sleep(0.05)


@feature(table=TABLE, grain="frame", inputs=["frames.time_s"], neutral=[Gate])
class SlowTimes(Feature):
    """Doubles the time of a frame on a device, behind the gate that ``TEST_GATE`` names, if it names one."""

    outputs: ClassVar[dict[str, Any]] = {"value": Scalar("float64")}
    needs_gpu = True
    batch_size = 1

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        if folder := os.environ.get("TEST_GATE"):
            Gate(Path(folder)).pass_through()
        return {"value": [2.0 * time_s for time_s in batch["frames.time_s"]]}
