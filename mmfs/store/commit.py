"""The one commit: compare-and-swap of one shard of one table.

A plan is made on a state (`ShardState`), and its file may only replace exactly that state. The Delta library itself
accepts a repeated or older number silently, so the comparison is ours; the library's conflict check covers the
instant between our look and its write, because both would set the number of the same shard.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmfs.errors import StalePlanError, StoreError
from mmfs.schemas import FINGERPRINT, TableSpec
from mmfs.store.data_file import DataFile
from mmfs.store.delta import ConflictError, DeltaLog, app_id, commit_file, delta_errors, snapshot_of
from mmfs.store.faults import fault_point

_CONFLICT_TRIES = 100
_FAILURE_TRIES = 5


@dataclass(frozen=True)
class ShardState:
    """What a plan is made on.

    Attributes:
        app_version: How often the shard was replaced before, less one; -1 when it was never written.
        table_version: Delta version of the table.
        files: The shard's files.
    """

    table: str
    shard: str
    app_version: int
    table_version: int
    files: tuple[DataFile, ...]


@dataclass(frozen=True)
class Commit:
    """What came of a replacement.

    Attributes:
        version: A version of the table that holds the shard so.
        app_version: How often the shard was replaced, less one.
        rows: Rows of the shard now.
        size_bytes: Size of its file.
        digest: Content digest of its rows.
        changed: False when the rows were there already and nothing was written.
    """

    table: str
    shard: str
    version: int
    app_version: int
    rows: int
    size_bytes: int
    digest: str
    changed: bool


def commit_shard(
    log: DeltaLog,
    spec: TableSpec,
    planned: ShardState,
    file: DataFile,
    *,
    rows: pa.Table,
    info: Mapping[str, str],
    check: Callable[[int], None] | None = None,
) -> int:
    """Make ``file``, which is written already, the shard's only file; the table version that shows it.

    Args:
        check: Called before every try with the table version that the commit would directly follow; raises
            StalePlanError when what other shards hold there contradicts the rows.

    Raises:
        StalePlanError: The shard is not in the planned state any more.
        StoreError: The commit fails for good.
    """
    name, shard = planned.table, planned.shard
    number = planned.app_version + 1
    stats = _stats(spec, rows)
    conflicts = failures = 0
    tried = False
    while True:
        try:
            with log.newest(name, "commit") as handle:
                with delta_errors(name):
                    now = handle.transaction_version(app_id(name, shard))
                    found = snapshot_of(name, handle).of(shard) if now == number else ()
                if any(there.path == file.path for there in found):
                    return handle.version()  # ours is there: this try or an earlier one whose reply was lost
                if (-1 if now is None else now) != planned.app_version:
                    if tried and (version := _landed(log, planned, file)) is not None:
                        return version
                    raise stale(planned)
                if check:
                    check(handle.version())
                fault_point("tables.before_commit")
                next_only = check is not None
                tried = True
                commit_file(handle, name, file, app_version=number, stats=stats, info=dict(info), next_only=next_only)
                fault_point("tables.after_commit")
        except StalePlanError:
            raise
        except ConflictError as error:
            conflicts += 1
            if conflicts == _CONFLICT_TRIES:
                raise _given_up(planned, conflicts, error) from error
        except (StoreError, OSError) as error:
            failures += 1
            if failures == _FAILURE_TRIES:
                raise _given_up(planned, failures, error) from error
        else:
            continue  # look once more: only the log says what became of it
        time.sleep(random.uniform(0.001, 0.02 * min(10, conflicts + failures)))


def stale(planned: ShardState) -> StalePlanError:
    """The error of whoever planned on a state that is gone."""
    return StalePlanError(
        f"shard {planned.shard} of {planned.table} was replaced by somebody else after version {planned.table_version}",
        mend="read the shard again and plan anew (Tables.update does)",
    )


def _landed(log: DeltaLog, planned: ShardState, file: DataFile) -> int | None:
    """The version that made ``file`` the shard's, where somebody has replaced it before we could look."""
    for commit in log.commits(planned.table):
        if commit.version <= planned.table_version:
            break
        if file.path.removeprefix(f"{planned.table}/") in commit.files:
            return commit.version
    return None


def _given_up(planned: ShardState, tries: int, error: Exception) -> StoreError:
    return StoreError(
        f"cannot commit shard {planned.shard} of {planned.table} after {tries} tries: {error}",
        mend="check permissions and space of the store, then run again; the old version is still there",
    )


def _stats(spec: TableSpec, rows: pa.Table) -> dict[str, object]:
    """Rows, the bounds of the first key column, and the fingerprint where all rows share one."""
    stats: dict[str, object] = {"numRecords": rows.num_rows}
    if rows.num_rows:
        first = spec.key[0]
        column = rows.column(first)  # sorted: its ends are its bounds, and let SQL skip files
        lowest, highest = {first: column[0].as_py()}, {first: column[-1].as_py()}
        if spec.is_derived and FINGERPRINT.name in rows.column_names:
            shared = rows.column(FINGERPRINT.name).unique()
            if len(shared) == 1 and shared.null_count == 0:
                lowest[FINGERPRINT.name] = highest[FINGERPRINT.name] = shared[0].as_py()
        stats["minValues"], stats["maxValues"] = lowest, highest
        stats["nullCount"] = dict.fromkeys(lowest, 0)
    return stats
