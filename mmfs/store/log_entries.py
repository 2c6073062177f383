"""The files of a table's log, by the names that the Delta protocol gives them: which there are, what commits tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from mmfs.errors import IntegrityError, MissingObjectError
from mmfs.store.objects import ObjectInfo, Objects
from mmfs.store.origin import RUN_ID

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
#: Commits that are read at once, and readers.
_COMMITS_READ = 64
_READERS = 8


@dataclass(frozen=True)
class LogEntries:
    """What a log holds, by version: clean-up leaves gaps."""

    commits: Mapping[int, ObjectInfo]
    checkpoints: Mapping[int, ObjectInfo]


@dataclass(frozen=True)
class LoggedCommit:
    """One commit, as a table's log has it.

    Attributes:
        version: The Delta version that it made.
        at_us: When, microseconds since 1970.
        run_id: The run that made it, where one did.
        files: Data files that it added, as paths within the table.
    """

    version: int
    at_us: int
    run_id: str | None
    files: tuple[str, ...]


def log_entries(objects: Objects, table: str) -> LogEntries:
    """The commits and checkpoints that a table's log holds."""
    commits: dict[int, ObjectInfo] = {}
    checkpoints: dict[int, ObjectInfo] = {}
    for info in objects.list(f"{table}/_delta_log"):
        name = info.path.rpartition("/")[2]
        if found := _COMMIT.fullmatch(name):
            commits[int(found[1])] = info
        elif found := _CHECKPOINT.fullmatch(name):
            checkpoints[int(found[1])] = info
    return LogEntries(commits, checkpoints)


def known_commits(objects: Objects, table: str) -> Iterator[LoggedCommit]:
    """The commits from the newest back to the first gap, newest first; read as far as they are asked for.

    Beyond a gap nothing can be told from what is there: the run of a commit may have made others that are gone, and
    what was newest at a time may be one of these. A commit that vacuum takes while the log is read is such a gap.

    Raises:
        IntegrityError: A commit is damaged.
        StoreError: A commit cannot be read just now.
    """
    commits = log_entries(objects, table).commits
    whole = list(takewhile(commits.__contains__, range(max(commits, default=-1), -1, -1)))

    def read(version: int) -> LoggedCommit | None:
        entry = commits[version]
        try:
            return _commit_in(objects.get(entry.path), version, entry)
        except MissingObjectError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{entry.path} is no commit: {error}", where=objects.url, mend="restore the file from a backup"
            ) from error

    for start in range(0, len(whole), _COMMITS_READ):
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(read, whole[start : start + _COMMITS_READ]))
        for commit in found:
            if commit is None:
                return
            yield commit


def _commit_in(data: bytes, version: int, entry: ObjectInfo) -> LoggedCommit:
    actions = [json.loads(line) for line in data.splitlines()]
    said: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    at_ms = int(said.get("timestamp", entry.modified_us // 1000))  # other programs may commit without a word
    run_id = json.loads(said.get("mmfs", "{}")).get(RUN_ID)
    return LoggedCommit(version, at_ms * 1000, run_id, tuple(one["add"]["path"] for one in actions if "add" in one))
