"""The Delta log: opening, snapshots, creation and the one commit. With `sql.py`, all that knows the Delta library."""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from mmfs.errors import StoreError, UnreachableError
from mmfs.schemas import FINGERPRINT, Column, TableSpec
from mmfs.store.arrays import empty_table, repeated_text
from mmfs.store.data_file import DataFile
from mmfs.store.log_entries import LoggedCommit, known_commits
from mmfs.store.objects import Objects
from mmfs.store.refusals import refusal_of
from mmfs.store.specs import configuration_of, spec_of

_LISTED = pa.schema([("path", pa.string()), ("shard", pa.string()), ("rows", pa.int64()), ("size_bytes", pa.int64())])
#: For so long, nobody clears away an entry of the log that was written meanwhile: the next one being absent then means
#: that there is none.
_ENTRY_STAYS_S = 60.0
_BOUNDS = pa.schema([("first", pa.string()), ("last", pa.string()), ("fingerprint", pa.string())])


@dataclass(frozen=True)
class Snapshot:
    """One version of one table.

    Attributes:
        version: The Delta version.
        spec: Columns, key and grain at that version.
        listed: Its files as columns ``path``, ``shard``, ``rows``, ``size_bytes``, sorted by shard. A store may have
            ten thousand of them, so they become objects only when somebody asks.
        bounds: First and last value of the first key column in each of them, as columns ``first`` and ``last``, and the
            ``fingerprint`` that all its rows share; null where the log does not say.
    """

    version: int
    spec: TableSpec
    listed: pa.Table
    bounds: pa.Table

    @cached_property
    def files(self) -> tuple[DataFile, ...]:
        """All files, sorted by shard."""
        return _data_files(self.listed)

    def reaching(self, keys: Sequence[str]) -> tuple[DataFile, ...]:
        """Files that may hold one of these values of the first key column, sorted: the bounds leave out the others."""
        bounds = zip(*(self.bounds.column(end).to_pylist() for end in ("first", "last")), strict=True)
        return _data_files(self.listed.filter(pa.array([_reaches(keys, *ends) for ends in bounds], pa.bool_())))

    @property
    def silent(self) -> tuple[DataFile, ...]:
        """Files of which the log does not say a fingerprint that all their rows share."""
        return _data_files(self.listed.filter(self.bounds.column("fingerprint").is_null()))

    def of(self, shard: str) -> tuple[DataFile, ...]:
        """The files of one shard: none when it was never written."""
        return _data_files(self.listed.filter(pc.is_in(self.listed.column("shard"), repeated_text(shard, 1))))


class ConflictError(Exception):
    """Somebody else committed first. Internal: the commit loop answers it."""


@dataclass
class _Shared:
    """A handle that threads take turns with.

    Attributes:
        looked_s: Moment of `time.monotonic` before the library looked at the whole log.
        process: The process that opened it. The library says so where another one uses it.
    """

    handle: DeltaTable
    looked_s: float
    process: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)


class DeltaLog:
    """The Delta logs of a store's tables. Snapshots are immutable and may be shared by threads."""

    def __init__(self, objects: Objects, *, keep_log_days: int) -> None:
        self._objects = objects
        self._keep_log_days = keep_log_days
        self._lock = threading.Lock()
        self._handles: dict[tuple[str, str], _Shared] = {}
        self._snapshots: dict[tuple[str, int], Snapshot] = {}
        self._moment = threading.local()

    def create(self, spec: TableSpec) -> bool:
        """Create a table with version 0 and no rows; False when somebody else made it meanwhile."""
        with delta_errors(spec.name):
            try:
                DeltaTable.create(
                    self._objects.delta_url(spec.name),
                    spec.arrow_schema(),
                    mode="error",
                    partition_by=["shard"],
                    name=spec.name,
                    description=spec.description,
                    configuration=configuration_of(spec, keep_log_days=self._keep_log_days),
                    raise_if_key_not_exists=False,
                )
            except (DeltaError, OSError):
                if self.exists(spec.name):
                    return False
                raise
        return True

    def exists(self, name: str) -> bool:
        """Whether there is such a table."""
        with delta_errors(name):
            return bool(DeltaTable.is_deltatable(self._objects.delta_url(name)))

    def open(self, name: str, version: int | None = None) -> DeltaTable:
        """A handle of one's own: never share one between threads.

        Raises:
            StoreError: There is no such table or version, or its log entries were vacuumed.
        """
        if version is not None:
            with self.newest(name) as handle:
                newest = handle.version()
            if version > newest:  # the library would look for the commits in between, one by one
                raise StoreError(f"version {version} of {name} does not exist", mend=f"the newest is {newest}")
        with delta_errors(name):
            try:
                return DeltaTable(self._objects.delta_url(name), version=version)
            except TableNotFoundError as error:
                raise unknown_table(name) from error
            except DeltaError as error:
                if version is None or self._objects.exists(f"{name}/_delta_log/{version:020}.json"):
                    raise
                raise gone_version(name, version) from error

    @contextmanager
    def newest(self, name: str, use: Literal["read", "commit"] = "read") -> Iterator[DeltaTable]:
        """The shared handle of a table, brought up to date and held for this thread alone.

        Readers and writers have one each, so that no reader waits for a commit.
        """
        shared = self._shared(name, use)
        with shared.lock:
            self._bring_up_to_date(name, shared)
            try:
                yield shared.handle
            finally:
                if use == "commit":
                    self._seen().pop(name, None)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Look at each table once: within the block, what this thread reads is as it was at its first look.

        A look at a table in a bucket is a request or more. What this thread commits itself is seen.
        """
        if getattr(self._moment, "seen", None) is not None:
            yield  # a part of a longer moment
            return
        self._moment.seen = {}
        try:
            yield
        finally:
            self._moment.seen = None

    def _seen(self) -> dict[str, Snapshot]:
        """What was seen in this moment; outside of one, what is put there is forgotten."""
        seen: dict[str, Snapshot] | None = getattr(self._moment, "seen", None)
        return {} if seen is None else seen

    def snapshot(self, name: str, version: int | None = None) -> Snapshot:
        """The table as it is now, or at a version."""
        if version is not None:
            known = self._snapshots.get((name, version))
            return known or self._remember(name, self.open(name, version))
        seen = self._seen()
        if name not in seen:
            with self.newest(name) as handle:
                known = self._snapshots.get((name, handle.version()))
                seen[name] = known or self._remember(name, handle)
        return seen[name]

    def commits(self, name: str) -> Iterator[LoggedCommit]:
        """The commits back to the first that vacuum took from the log, newest first; read as far as asked for."""
        return known_commits(self._objects, name)

    def expired(self, name: str, *, hours: int, unnamed: bool) -> set[str]:
        """Files that were replaced longer ago than ``hours``; with ``unnamed``, also those the log never knew."""
        with delta_errors(name):
            found = self.open(name).vacuum(
                retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=unnamed
            )
        return {f"{name}/{path}" for path in found}

    def add_columns(self, name: str, columns: Sequence[Column]) -> None:
        """Add columns, which are null in the rows there are.

        Raises:
            ConflictError: Somebody else changed the table first.
        """
        fields = Schema.from_arrow(pa.schema([column.field() for column in columns])).fields
        with delta_errors(name):
            self.open(name).alter.add_columns(fields)
        self._seen().pop(name, None)

    def set_column_metadata(self, name: str, column: str, metadata: dict[str, str]) -> None:
        """Change what a column says about itself.

        Raises:
            ConflictError: Somebody else changed the table first.
        """
        with delta_errors(name):
            self.open(name).alter.set_column_metadata(column, metadata)
        self._seen().pop(name, None)

    def _shared(self, name: str, use: str) -> _Shared:
        found = self._handles.get((name, use))
        if found is None:
            now_s = time.monotonic()
            made = _Shared(self.open(name), now_s)
            with self._lock:
                found = self._handles.setdefault((name, use), made)
        return found

    def _bring_up_to_date(self, name: str, shared: _Shared) -> None:
        """Let a handle show the newest version.

        The library asks for the last checkpoint and lists the log. Most often nothing was committed, and of a bucket
        one request for the next entry says so. (A shared directory may say for a minute that a new file is not there.)
        """
        now_s = time.monotonic()
        may_ask = not self._objects.is_local and shared.process == os.getpid()
        with delta_errors(name):
            if may_ask and now_s - shared.looked_s < _ENTRY_STAYS_S and not self._has_entry(name, shared):
                return
            shared.handle.update_incremental()
            shared.looked_s = now_s

    def _has_entry(self, name: str, shared: _Shared) -> bool:
        """Whether the log goes on behind the version that a handle shows."""
        return self._objects.exists(f"{name}/_delta_log/{shared.handle.version() + 1:020}.json")

    def _remember(self, name: str, handle: DeltaTable) -> Snapshot:
        with delta_errors(name):
            made = snapshot_of(name, handle)
        with self._lock:
            # Pins read old versions again and again; a handful a table is plenty.
            mine = [key for key in self._snapshots if key[0] == name]
            for key in mine[:-8]:
                del self._snapshots[key]
            self._snapshots[name, made.version] = made
        return made


def snapshot_of(name: str, handle: DeltaTable) -> Snapshot:
    """What an open handle shows."""
    actions = pa.RecordBatchReader.from_stream(handle.get_add_actions(flatten=True)).read_all()
    spec = spec_of(name, pa.schema(handle.schema()), handle.metadata())
    if not actions.num_rows:
        return Snapshot(handle.version(), spec, empty_table(_LISTED), empty_table(_BOUNDS))
    columns = [actions.column(column) for column in ("path", "partition.shard", "num_records", "size_bytes")]
    folder = repeated_text(f"{name}/", actions.num_rows)
    columns[0] = pc.binary_join_element_wise(folder, columns[0], repeated_text("", actions.num_rows))
    listed = pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, _LISTED, strict=True)], schema=_LISTED
    )
    order = pc.sort_indices(listed, sort_keys=[("shard", "ascending"), ("path", "ascending")])
    known = actions.schema.names
    ends = [f"{end}.{column}" for column in (spec.key[0], FINGERPRINT.name) for end in ("min", "max")]
    first, last, lowest, highest = (
        (actions.column(end) if end in known else pa.nulls(actions.num_rows)).cast(pa.string()) for end in ends
    )
    shared = pc.if_else(pc.equal(lowest, highest), lowest, pa.nulls(actions.num_rows, pa.string()))
    between = pa.Table.from_arrays([first, last, shared], schema=_BOUNDS)
    return Snapshot(handle.version(), spec, listed.take(order), between.take(order))


def _reaches(keys: Sequence[str], first: str | None, last: str | None) -> bool:
    if first is None or last is None:
        return True
    at = bisect_left(keys, first)
    return at < len(keys) and keys[at] <= last


def _data_files(listed: pa.Table) -> tuple[DataFile, ...]:
    return tuple(DataFile(*row) for row in zip(*(column.to_pylist() for column in listed.columns), strict=True))


def commit_file(
    handle: DeltaTable,
    name: str,
    file: DataFile,
    *,
    app_version: int,
    stats: dict[str, object],
    info: dict[str, str],
    next_only: bool = False,
) -> None:
    """Replace the files of ``file.shard`` by this one, on top of the state the handle shows.

    Args:
        stats: Statistics of the file, as the Delta protocol has them.
        next_only: Refuse to come after commits of other shards that the handle does not show. The library would
            otherwise move the commit behind them by itself.

    Raises:
        ConflictError: Another commit came first; the handle is stale.
    """
    action = AddAction(
        path=file.path.removeprefix(f"{name}/"),
        size=file.size_bytes,
        partition_values={"shard": file.shard},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(stats),
    )
    tries = {"max_commit_retries": 0} if next_only else {}
    with delta_errors(name):
        handle.create_write_transaction(
            [action],
            mode="overwrite",
            schema=handle.schema(),  # any other schema would silently replace the table's
            partition_by=["shard"],
            partition_filters=[("shard", "=", file.shard)],
            commit_properties=CommitProperties(
                custom_metadata={"mmfs": json.dumps({"shard": file.shard, **info}, sort_keys=True)},
                app_transactions=[Transaction(app_id(name, file.shard), app_version)],
                **tries,
            ),
        )


def app_id(name: str, shard: str) -> str:
    """The name under which the log counts the replacements of a shard."""
    return f"{name}/{shard}"


@contextmanager
def delta_errors(place: str) -> Iterator[None]:
    """Turn the library's errors, its panics among them, into StoreError; a lost race into ConflictError."""
    try:
        yield
    except StoreError:
        raise
    except CommitFailedError as error:
        raise ConflictError(_first_line(error)) from error
    except (DeltaError, OSError, ValueError) as error:
        refusal = refusal_of(str(error))
        if refusal is not None:
            raise UnreachableError(refusal.what, where=f"table {place}", mend=refusal.mend) from error
        raise StoreError(
            _first_line(error), where=place, mend="check the store's URL, permissions and space"
        ) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(
            f"the Delta library broke down: {_first_line(error)}",
            where=place,
            mend="open the store anew in this process; do not use it across fork()",
        ) from error


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def gone_version(name: str, version: int) -> StoreError:
    """The error for a version that cannot be read any more."""
    return StoreError(
        f"version {version} of {name} is gone (vacuumed)", mend="read a newer one; pin versions that must stay"
    )


def unknown_table(name: str, known: Sequence[str] = ()) -> StoreError:
    """The error for a table that is not there."""
    there = f"there are {', '.join(known)}" if known else "see `mmfs tables` for those there are"
    return StoreError(f"there is no table {name!r}", mend=there)
