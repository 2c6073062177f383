"""Which version of a table is meant: by number, by the run that committed it, or by the time at which it was newest."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from mmfs.errors import PinError

if TYPE_CHECKING:
    from mmfs.store.delta import DeltaLog
    from mmfs.store.log_entries import LoggedCommit

#: A Delta version, a Dagster run id, or a time (`datetime`, or ISO 8601 as text; UTC where no offset is given).
Version = int | str | datetime

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUNS_NAMED = 3


def find_version(log: DeltaLog, table: str, wanted: Version) -> int:
    """The Delta version that is meant.

    Args:
        wanted: A number is a version; a run means the last version that it committed to the table; a time, the
            newest version at or before it.

    Raises:
        PinError: There is no such version yet, the run committed nothing that the table's log still tells of, or the
            time is before that.
    """
    if isinstance(wanted, bool) or not isinstance(wanted, int | str | datetime):
        raise PinError(
            f"versions= gives {wanted!r} for {table}",
            mend="give a table version (a number), a Dagster run id, or a time",
        )
    if isinstance(wanted, int):
        newest = log.snapshot(table).version
        if not 0 <= wanted <= newest:  # the library would look for the commits in between, one by one
            raise PinError(
                f"version {wanted} of {table} does not exist",
                mend=f"the newest is {newest}; a time is given as a datetime or as ISO 8601 text",
            )
        return wanted
    time = wanted if isinstance(wanted, datetime) else time_in(wanted)
    return _committed_by(log, table, str(wanted)) if time is None else _newest_at(log, table, time)


def time_in(text: str) -> datetime | None:
    """The time that an ISO 8601 text says; None for what is no time.

    >>> time_in("2026-11-02T08:30").isoformat(), time_in("4f1c9f6a-0d5b-4f43-9c68-0a8b7f1d2e3c")
    ('2026-11-02T08:30:00', None)
    """
    if _UUID.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _newest_at(log: DeltaLog, table: str, time: datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    at_us = int(aware.timestamp() * 1_000_000)
    found, known = _first(log, table, lambda commit: commit.at_us <= at_us)
    if found is None:
        oldest = known[-1]
        raise PinError(
            f"{table} had no version at {_said(at_us)}, as far as its log goes back",
            mend=f"the first one known is {oldest.version}, of {_said(oldest.at_us)}; name an older one by its number",
        )
    return found.version


def _committed_by(log: DeltaLog, table: str, run_id: str) -> int:
    found, known = _first(log, table, lambda commit: commit.run_id == run_id)
    if found is None:
        runs = dict.fromkeys(commit.run_id for commit in known if commit.run_id)
        newest = ", ".join(islice(runs, _RUNS_NAMED))
        raise PinError(
            f"run {run_id!r} committed nothing to {table} since version {known[-1].version}, where its log begins",
            mend=f"runs that did, newest first: {newest}; name an older version by its number"
            if newest
            else "no run did; give a version or a time",
        )
    return found.version


def _first(
    log: DeltaLog, table: str, fits: Callable[[LoggedCommit], bool]
) -> tuple[LoggedCommit | None, list[LoggedCommit]]:
    """The newest commit that fits, if one does, and the commits that were looked at, newest first.

    Raises:
        PinError: Nothing is known of the table's commits.
    """
    known = []
    for commit in log.commits(table):
        known.append(commit)
        if fits(commit):
            return commit, known
    if not known:
        raise PinError(f"the log of {table} holds no commit", mend="name a version by its number")
    return None, known


def _said(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
