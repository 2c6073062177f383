"""Where the time of a feature's run went, as figures that the UI plots over shards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmfs.features.report import FeatureReport


@dataclass(frozen=True)
class ModelRun:
    """What computing did to one shard, or to the shards of a run.

    Attributes:
        computed: Rows computed.
        adopted: Rows taken over from a run that did not end.
        working_s: Wall time without loading the model.
        device_s: Time that the device worked.
        stages_s: Time by stage.
        queue_depth: Mean number of decoded chunks that were waiting.
        ratio_to_bare: Speed over that of the model alone; None where it was not measured.
        device: Device of the model; None when nothing was computed.
    """

    computed: int
    adopted: int
    working_s: float
    device_s: float
    stages_s: dict[str, float] = field(default_factory=dict)
    queue_depth: float = 0.0
    ratio_to_bare: float | None = None
    device: str | None = None

    @classmethod
    def of(cls, report: FeatureReport) -> "ModelRun":
        """The figures of one shard."""
        return cls(
            computed=report.computed,
            adopted=report.adopted,
            working_s=report.working_s,
            device_s=report.device_s,
            stages_s={stage: ms * report.computed / 1e3 for stage, ms in report.stage_ms.items()},
            queue_depth=report.queue_depth,
            ratio_to_bare=report.ratio_to_bare,
            device=report.device,
        )

    @classmethod
    def in_total(cls, runs: Sequence["ModelRun"]) -> "ModelRun":
        """The figures of a run over several shards; means are by rows."""
        busy = [run for run in runs if run.computed]
        stages = {stage for run in busy for stage in run.stages_s}
        compared = [run for run in busy if run.ratio_to_bare is not None]
        return cls(
            computed=sum(run.computed for run in runs),
            adopted=sum(run.adopted for run in runs),
            working_s=sum(run.working_s for run in busy),
            device_s=sum(run.device_s for run in runs),
            stages_s={stage: sum(run.stages_s.get(stage, 0.0) for run in busy) for stage in sorted(stages)},
            queue_depth=_mean([(run.queue_depth, run.computed) for run in busy]),
            ratio_to_bare=_mean([(run.ratio_to_bare or 0.0, run.computed) for run in compared]) if compared else None,
            device=busy[0].device if busy else None,
        )

    def metadata(self) -> dict[str, Any]:
        """Figures for the UI; little to say where nothing was computed."""
        found: dict[str, Any] = {"rows_adopted": self.adopted}
        if not self.computed:
            return found
        if self.ratio_to_bare is not None:
            found["ratio_to_bare"] = round(self.ratio_to_bare, 3)
        return {
            **found,
            "device": self.device,
            "device_seconds": round(self.device_s, 3),
            "device_busy_share": round(min(1.0, self.device_s / self.working_s), 3) if self.working_s > 0 else 0.0,
            "queue_depth": round(self.queue_depth, 2),
            **{f"{stage}_ms_per_row": round(1e3 * s / self.computed, 4) for stage, s in self.stages_s.items()},
            "bottleneck": max(self.stages_s, key=lambda stage: self.stages_s[stage]) if self.stages_s else "",
        }


def _mean(weighted: Sequence[tuple[float, int]]) -> float:
    weight = sum(rows for _, rows in weighted)
    return sum(value * rows for value, rows in weighted) / weight if weight else 0.0
