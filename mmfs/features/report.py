"""What a run of a feature over a shard did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureReport:
    """One shard of one feature, brought up to date.

    Attributes:
        rows: Rows of the shard now.
        computed: Rows computed by this run.
        carried: Fresh rows kept from before.
        quarantined: Rows that could not be computed by this run.
        seconds: Wall time of the run.
        load_s: Time to load the model; 0 when it was loaded already or nothing was to do.
        read_s: Time the model waited for rows to be read, decoded and prepared.
        model_s: Time in ``compute``, with the copies to and from the device.
        write_s: Time for encoding that was not hidden behind the model, and for the commit.
        device: Device of the model; None when nothing was computed.
        batches: Batches computed.
        bytes_written: Parquet and pack bytes.
        digest: Content digest of the shard's rows.
        version: Table version that holds them; -1 when the table has no rows of the shard.
        changed: Whether anything was committed.
    """

    table: str
    shard: str
    rows: int
    computed: int
    carried: int
    quarantined: int
    seconds: float
    load_s: float
    read_s: float
    model_s: float
    write_s: float
    device: str | None
    batches: int
    bytes_written: int
    digest: str
    version: int
    changed: bool

    @property
    def rows_per_s(self) -> float:
        """Rows computed a second, without the time to load the model; 0 when nothing was computed."""
        working = self.seconds - self.load_s
        return self.computed / working if self.computed and working > 0 else 0.0

    @property
    def bottleneck(self) -> str:
        """The stage that took most of the time: ``read``, ``model`` or ``write``."""
        stages = {"read": self.read_s, "model": self.model_s, "write": self.write_s}
        return max(stages, key=lambda stage: stages[stage])
