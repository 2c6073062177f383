"""Try again what failed: which rows of ``quarantine`` are meant, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmfs.errors import StoreError
from mmfs.features.registry import registered
from mmfs.ingest.outlook import STEPS
from mmfs.ingest.quarantine import MAY_PASS, unmark
from mmfs.media import Reason
from mmfs.store import Store

Row = Mapping[str, Any]

_READ = ["shard", "stage", "reason", "uri", "media_id", "mark"]


@dataclass(frozen=True)
class Retried:
    """Failures of one table and shard, for one reason, that the next run tries again."""

    table: str
    shard: str
    reason: str
    rows: int


@dataclass(frozen=True)
class RetryReport:
    """What is tried again, and what is not.

    Attributes:
        dry_run: Nothing was written.
        retried: What was asked for now, by table, shard and reason; with ``dry_run``, what would be.
        waiting: Rows of those chosen that were asked for before, and that no run has tried since.
        left: Rows by reason, most first, that were passed over for their reason alone.
    """

    dry_run: bool
    retried: tuple[Retried, ...]
    waiting: int
    left: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows that were asked for now, or would be."""
        return sum(one.rows for one in self.retried)

    def summary(self) -> str:
        """One line for people.

        >>> RetryReport(False, (Retried("frames", "000012", "timeout", 3),), waiting=0, left={"corrupt": 2}).summary()
        '3 rows are tried again by the next run; left for their reason: corrupt 2'
        >>> RetryReport(True, (), waiting=1, left={}).summary()
        '0 rows would be tried again; 1 wait for it already'
        """
        parts = [f"{self.rows:,} rows {'would be tried again' if self.dry_run else 'are tried again by the next run'}"]
        parts += [f"{self.waiting:,} wait for it already"] if self.waiting else []
        left = ", ".join(f"{reason} {rows:,}" for reason, rows in self.left.items())
        return "; ".join([*parts, *([f"left for their reason: {left}"] if left else [])])


@dataclass(frozen=True)
class _Choice:
    """Which rows are meant, but for their shard. No media means all."""

    tables: Collection[str]
    reasons: Collection[str]
    media: Collection[str]

    def fits(self, row: Row) -> bool:
        return row["reason"] in self.reasons and self.fits_but_for_reason(row)

    def fits_but_for_reason(self, row: Row) -> bool:
        return row["stage"] in self.tables and (not self.media or not _names(row).isdisjoint(self.media))


def retry_rows(
    store: Store,
    *,
    tables: Sequence[str],
    reasons: Sequence[str],
    shards: Sequence[str],
    media: Sequence[str],
    dry_run: bool,
) -> RetryReport:
    """Have rows of ``quarantine`` tried again by the next run; see `Operating.retry`."""
    filled = (*STEPS, *registered(store.settings))
    _require_known("table", tables, filled, mend=f"tables: {', '.join(filled)}")
    _require_known("reason", reasons, list(Reason), mend=f"reasons: {', '.join(Reason)}")
    there = {shard for table in ("listings", "quarantine") for shard in store.tables.shards(table)}
    _require_known("shard", shards, there, mend="`mmfs plan TABLE` lists the shards of a table")
    rows = store.tables.read("quarantine", columns=_READ, shard=shards or None).to_pylist()
    _require_quarantined(media, rows)
    choice = _Choice(tables or filled, reasons or (list(Reason) if media else MAY_PASS), media)
    chosen = [row for row in rows if choice.fits(row)]
    left = Counter(row["reason"] for row in rows if choice.fits_but_for_reason(row) and not choice.fits(row))
    return RetryReport(
        dry_run,
        _counted(_marked(chosen) if dry_run else _unmark_all(store, choice, chosen)),
        waiting=len(chosen) - len(_marked(chosen)),
        left=dict(sorted(left.items(), key=lambda item: (-item[1], item[0]))),
    )


def _unmark_all(store: Store, choice: _Choice, chosen: Sequence[Row]) -> list[Row]:
    """Commit shard by shard; the rows concerned, which may be others than were read if a run came between."""
    shards = sorted({row["shard"] for row in _marked(chosen)})
    return [{**row, "shard": shard} for shard in shards for row in unmark(store, shard, choice.fits)]


def _marked(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["mark"] is not None]


def _names(row: Row) -> set[str]:
    """What a user may call the row by."""
    return {row["uri"], row["media_id"]} - {None}


def _counted(rows: Sequence[Row]) -> tuple[Retried, ...]:
    counts = Counter((row["stage"], row["shard"], row["reason"]) for row in rows)
    return tuple(Retried(*key, rows=count) for key, count in sorted(counts.items()))


def _require_known(what: str, named: Sequence[str], known: Collection[str], *, mend: str) -> None:
    for one in named:
        if one not in known:
            raise StoreError(f"there is no {what} {one!r}", mend=mend)


def _require_quarantined(media: Sequence[str], rows: Sequence[Row]) -> None:
    known = {name for row in rows for name in _names(row)}
    for one in media:
        if one not in known:
            raise StoreError(
                f"nothing in quarantine is about {one!r}",
                mend='`mmfs sql "SELECT uri, media_id, stage, shard, reason FROM quarantine"` lists what is',
            )
