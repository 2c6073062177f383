"""How one shard of one table stands: what is fresh, what would be computed and why; and the rows it will then have."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mmfs.schemas import TableSpec

#: The cause of rows that failed and are not tried again while nothing about them changes.
FAILED = "failed"


@dataclass(frozen=True)
class ShardStatus:
    """How a table stands in one shard.

    Attributes:
        rows: Rows that the table can have.
        fresh: Rows whose fingerprint is today's.
        stale: Rows computed by other code, weights, parameters or inputs.
        missing: Rows never computed.
        failed: Rows in quarantine under today's fingerprint; they are tried again when it changes, or on request.
        gone: Rows of the table that have no input row any more; the next run drops them.
        causes: Rows that are not fresh, by cause: ``new``; the changed parts of the fingerprint (``code``, ``config``,
            ``weights``, ``outputs``) and ``upstream`` for inputs that are not what they were, joined by ``+`` where
            there are several; ``failed`` for those that a run leaves alone.
        estimated: How many of the rows to compute are a guess, because a file has to be read first.
    """

    table: str
    shard: str
    rows: int
    fresh: int
    stale: int
    missing: int
    failed: int
    gone: int
    causes: dict[str, int]
    estimated: int = 0

    @property
    def to_compute(self) -> int:
        """Rows that a run would compute."""
        return sum(rows for cause, rows in self.causes.items() if cause != FAILED)


@dataclass(frozen=True)
class PredictedRows:
    """The rows that a shard of a table will have once everything above it was computed, as far as keys go.

    Attributes:
        spec: The table, which need not exist yet.
        rows: Key columns, and ``fingerprint`` where the table has one; sorted by key.
        estimated: Media whose rows are a guess.
    """

    spec: TableSpec
    rows: pa.Table
    estimated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reads:
    """Original files that have to be read or decoded.

    Attributes:
        files: How many.
        size_bytes: Their sizes, as far as known.
        duration_s: Playing time of the videos and sounds among them, as far as known.
    """

    files: int = 0
    size_bytes: int = 0
    duration_s: float = 0.0

    def __add__(self, other: Reads) -> Reads:
        return Reads(self.files + other.files, self.size_bytes + other.size_bytes, self.duration_s + other.duration_s)
