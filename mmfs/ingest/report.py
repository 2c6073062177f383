"""What the steps of ingest tell their caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IngestReport:
    """What became of a listing.

    Attributes:
        new: URIs that were given a shard.
        known: URIs that had one.
        updated: Known URIs whose file or statements changed.
        shards: Shards that changed, sorted.
        ignored: Files passed over because they are neither media nor about media.
        refused: URIs that may not be read; they end in quarantine.
        warnings: What was odd, each with its file.
        commits: By how many this advanced the version of the listings.
    """

    new: int
    known: int
    updated: int
    shards: list[str]
    ignored: int
    refused: int
    warnings: tuple[str, ...] = ()
    commits: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one step did to one shard of one table.

    Attributes:
        rows: Rows of the shard now.
        computed: Rows made by this run.
        carried: Rows that were fresh already.
        quarantined: Files of the shard that are in quarantine for this step.
        seconds: Wall time.
        bytes_written: Bytes of packs, copies and tables written by this run.
        digest: Content digest of the shard.
        version: A version of the table that holds the shard so.
        changed: Whether any table was written.
    """

    table: str
    shard: str
    rows: int
    computed: int
    carried: int
    quarantined: int
    seconds: float
    bytes_written: int
    digest: str
    version: int
    changed: bool

    @property
    def rows_per_s(self) -> float:
        """Computed rows a second of wall time; 0 when nothing was computed."""
        return self.computed / self.seconds if self.computed and self.seconds > 0 else 0.0
