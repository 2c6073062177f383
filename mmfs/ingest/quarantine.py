"""Rows of ``quarantine`` for the steps of ingest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.listed import storable
from mmfs.media import Failure, Reason
from mmfs.schemas import BASE_TABLES
from mmfs.store import Commit, Store

#: Reasons that lie in the machine, the settings or the moment, not in the bytes alone: what failed so may pass later.
MAY_PASS = frozenset(
    {
        Reason.TIMEOUT,
        Reason.CRASHED,
        Reason.OUT_OF_MEMORY,
        Reason.TOO_LARGE,
        Reason.CHANGED,
        Reason.MISSING,
        Reason.MODEL_FAILED,
    }
)

_SCHEMA = pa.schema([column.field() for column in BASE_TABLES["quarantine"].columns])
_MAX_MESSAGE = 2000


def quarantine_row(
    failure: Failure, *, uri: str, stage: str, mark: str, at_us: int, media_id: str | None = None
) -> dict[str, Any]:
    """One row.

    Args:
        mark: What failed: the file's change mark, or the fingerprint of the step. The same is not tried again, unless
            the mark is taken off; see `unmark`.
    """
    return {
        "uri": uri,
        "stage": stage,
        "media_id": media_id,
        "reason": failure.reason.value,
        "message": storable(failure.message)[:_MAX_MESSAGE],
        "library_versions": json.dumps(failure.library_versions, sort_keys=True),
        "attempts": failure.attempts,
        "mark": mark,
        "at_us": at_us,
    }


def listing_failure(uri: str, refused: str) -> Failure:
    """The failure of a URI that listing refused, from ``reason: message``."""
    reason, _, message = refused.partition(": ")
    return Failure(uri, Reason(reason), message, 1, {})


def quarantined_marks(store: Store, shard: str, stage: str, *, by: Literal["uri", "media_id"]) -> dict[str, str]:
    """What failed in a stage of a shard and needs no new trial while it stays the same: marks by URI or media id.

    What was missing is left out, since a file that is away says nothing about its bytes, and so is what has no mark.
    """
    rows = store.tables.read("quarantine", columns=["stage", "reason", by, "mark"], shard=shard)
    final = pc.and_(pc.not_equal(rows.column("reason"), Reason.MISSING.value), pc.is_valid(rows.column("mark")))
    rows = rows.filter(pc.and_(pc.equal(rows.column("stage"), stage), final))
    return dict(zip(rows.column(by).to_pylist(), rows.column("mark").to_pylist(), strict=True))


def count_quarantined(store: Store, shard: str, stage: str) -> int:
    """How many failures of a stage the shard has."""
    stages = store.tables.read("quarantine", columns=["stage"], shard=shard).column("stage")
    return int(pc.sum(pc.equal(stages, stage)).as_py() or 0)


def unmark(store: Store, shard: str, chosen: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
    """Take the marks off failures of a shard, of whichever stage: the next run of the stage tries these rows again.

    They stay in quarantine until it has, so that nothing is unaccounted for meanwhile. One commit, and none when there
    is nothing to do.

    Args:
        chosen: Whether a row of ``quarantine`` is meant.

    Returns:
        The rows as they were, without those that had no mark already.

    Raises:
        StalePlanError: Others were faster 50 times in a row.
    """
    found: list[dict[str, Any]] = []

    def build(current: pa.Table) -> pa.Table:
        rows = current.to_pylist()
        found[:] = [row for row in rows if row["mark"] is not None and chosen(row)]
        keys = {(row["uri"], row["stage"]) for row in found}
        marks = [None if (row["uri"], row["stage"]) in keys else row["mark"] for row in rows]
        at = current.schema.get_field_index("mark")
        return current.set_column(at, current.schema.field(at), pa.array(marks, pa.string()))

    build(store.tables.read("quarantine", shard=shard))
    if found:
        store.tables.update("quarantine", shard, build)
    return found


def unmarked(store: Store) -> set[tuple[str, str]]:
    """Stages and shards with failures that are to be tried again, since they have no mark."""
    if "quarantine" not in store.tables:
        return set()
    rows = store.tables.read("quarantine", columns=["stage", "shard", "mark"])
    rows = rows.filter(pc.is_null(rows.column("mark")))
    return set(zip(rows.column("stage").to_pylist(), rows.column("shard").to_pylist(), strict=True))


def update_quarantine(
    store: Store,
    shard: str,
    stage: str,
    *,
    failed: Iterable[dict[str, Any]],
    stands: Callable[[Mapping[str, Any]], bool],
) -> Commit | None:
    """Add a stage's failures, and take out those of its rows that do not stand any more; None when there is nothing
    to do."""
    fresh = list(failed)
    again = {row["uri"] for row in fresh}
    # The same media may have failed under another of its names.
    media = {row["media_id"] for row in fresh} - {None}

    def next_rows(current: pa.Table) -> tuple[list[dict[str, Any]], bool]:
        before = current.filter(pc.equal(current.column("stage"), stage)).to_pylist()
        kept = [row for row in before if row["uri"] not in again and row["media_id"] not in media and stands(row)]
        return [*kept, *fresh], bool(fresh) or len(kept) < len(before)

    def build(current: pa.Table) -> pa.Table:
        rows, _ = next_rows(current)
        others = current.filter(pc.not_equal(current.column("stage"), stage))
        return pa.concat_tables([others, pa.Table.from_pylist(rows, schema=_SCHEMA)])

    current = store.tables.read("quarantine", shard=shard)
    if not next_rows(current)[1]:
        return None
    return store.tables.update("quarantine", shard, build)
