"""What a run of a feature over a shard did, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureReport:
    """One shard of one feature, brought up to date.

    Attributes:
        rows: Rows of the shard now.
        computed: Rows computed by this run.
        adopted: Rows that an earlier run, which did not end, had computed.
        carried: Fresh rows kept from before.
        quarantined: Rows that could not be computed, by this run or the one it took over from.
        seconds: Wall time of the run.
        load_s: Time to load the model; 0 when it was loaded already or nothing was to do.
        read_s: Time the model waited for rows to be read and decoded.
        prepare_s: Device time in ``prepare``.
        model_s: Device time in ``compute``.
        write_s: Time for encoding that was not hidden behind the model, for parts and for the commit.
        queue_depth: Mean number of decoded chunks that were waiting when one was taken; near 0, decoding is too slow.
        device: Device of the model; None when nothing was computed.
        batches: Batches computed.
        batch_size: Rows of a full batch at the end: less than configured where memory was short.
        ratio_to_bare: Speed of the run over the speed of ``compute`` alone on one batch again and again; None for runs
            too short to spare the time.
        bytes_written: Parquet and pack bytes.
        digest: Content digest of the shard's rows.
        version: Table version that holds them; -1 when the table has no rows of the shard.
        changed: Whether anything was committed.
    """

    table: str
    shard: str
    rows: int
    computed: int
    adopted: int
    carried: int
    quarantined: int
    seconds: float
    load_s: float
    read_s: float
    prepare_s: float
    model_s: float
    write_s: float
    queue_depth: float
    device: str | None
    batches: int
    batch_size: int
    ratio_to_bare: float | None
    bytes_written: int
    digest: str
    version: int
    changed: bool

    @property
    def working_s(self) -> float:
        """Wall time without the loading of the model."""
        return self.seconds - self.load_s

    @property
    def rows_per_s(self) -> float:
        """Rows computed a second, without the time to load the model; 0 when nothing was computed."""
        return self.computed / self.working_s if self.computed and self.working_s > 0 else 0.0

    @property
    def device_s(self) -> float:
        """Time that the device worked."""
        return self.prepare_s + self.model_s

    @property
    def device_busy_share(self) -> float:
        """Share of the working time in which the device worked."""
        return min(1.0, self.device_s / self.working_s) if self.computed and self.working_s > 0 else 0.0

    @property
    def stage_ms(self) -> dict[str, float]:
        """Milliseconds a computed row, by stage."""
        return {name: 1000 * seconds / self.computed for name, seconds in self._stages.items()} if self.computed else {}

    @property
    def bottleneck(self) -> str:
        """The stage that took most of the time: ``read``, ``prepare``, ``model`` or ``write``."""
        return max(self._stages, key=lambda stage: self._stages[stage])

    @property
    def _stages(self) -> dict[str, float]:
        return {"read": self.read_s, "prepare": self.prepare_s, "model": self.model_s, "write": self.write_s}
