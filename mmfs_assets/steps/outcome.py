"""What became of one shard, whichever step worked on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmfs.features.report import FeatureReport
from mmfs.ids import digest
from mmfs_assets.steps.model_run import ModelRun


class Report(Protocol):
    """What the reports of ingest, features and search have in common."""

    @property
    def rows(self) -> int: ...
    @property
    def computed(self) -> int: ...
    @property
    def carried(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def digest(self) -> str: ...
    @property
    def changed(self) -> bool: ...


@dataclass(frozen=True)
class Outcome:
    """One shard of one asset, brought up to date.

    Attributes:
        rows: Rows of the shard now.
        computed: Rows made by this run.
        carried: Fresh rows kept from before.
        quarantined: Files or rows of the shard that could not be read or computed.
        seconds: Wall time.
        load_s: Part of it that loading a model took.
        bytes_written: Bytes of packs and tables.
        digest: Content digest of the shard: its data version.
        changed: Whether anything was written.
        model: Where the time went, for features.
    """

    rows: int
    computed: int
    carried: int
    seconds: float
    digest: str
    changed: bool
    quarantined: int = 0
    load_s: float = 0.0
    bytes_written: int = 0
    model: ModelRun | None = None

    @classmethod
    def of(cls, *reports: Report) -> "Outcome":
        """The outcome that reports about one shard amount to; one report keeps its digest."""
        digests = [report.digest for report in reports]
        models = [ModelRun.of(report) for report in reports if isinstance(report, FeatureReport)]
        return cls(
            rows=sum(report.rows for report in reports),
            computed=sum(report.computed for report in reports),
            carried=sum(report.carried for report in reports),
            seconds=sum(report.seconds for report in reports),
            digest=digests[0] if len(digests) == 1 else digest(*digests),
            changed=any(report.changed for report in reports),
            quarantined=sum(getattr(report, "quarantined", 0) for report in reports),
            load_s=sum(getattr(report, "load_s", 0.0) for report in reports),
            bytes_written=sum(getattr(report, "bytes_written", 0) for report in reports),
            model=ModelRun.in_total(models) if models else None,
        )

    @property
    def state(self) -> str:
        """In words: what was done."""
        if self.computed:
            return f"computed {self.computed:,} of {self.rows:,} rows"
        if self.changed and not self.rows:
            return "no rows"
        return "rows dropped or moved, none computed" if self.changed else "fresh, nothing computed"


def in_total(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of a whole run."""
    models = [outcome.model for outcome in outcomes if outcome.model]
    return Outcome(
        rows=sum(outcome.rows for outcome in outcomes),
        computed=sum(outcome.computed for outcome in outcomes),
        carried=sum(outcome.carried for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        digest=digest(*(outcome.digest for outcome in outcomes)),
        changed=any(outcome.changed for outcome in outcomes),
        quarantined=sum(outcome.quarantined for outcome in outcomes),
        load_s=sum(outcome.load_s for outcome in outcomes),
        bytes_written=sum(outcome.bytes_written for outcome in outcomes),
        model=ModelRun.in_total(models) if models else None,
    )
