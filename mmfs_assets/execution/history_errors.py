"""Dagster's history as a thing that can fail: its databases' errors, with the place and the mend."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from mmfs.errors import MmfsError
from mmfs.settings import Settings

_AGAIN = "then run the same command again: what was computed is in the store, and is found there"
#: What the databases say, and what helps.
_MENDS = (
    (
        r"database or disk is full|disk I/O error|No space left|could not extend file|could not write",
        f"free space there, {_AGAIN}",
    ),
    (r"readonly database|read-only transaction", f"allow writing there, {_AGAIN}"),
    (
        r"password authentication failed|no pg_hba.conf entry|role .* does not exist",
        "check user and password in MMFS_POSTGRES_URL",
    ),
    (
        r"could not connect|connection to server|server closed the connection|Connection refused|too many clients"
        r"|terminating connection|connection already closed|could not translate host",
        f"see that the server runs and MMFS_POSTGRES_URL names it, {_AGAIN}",
    ),
    (r"database is locked", "end what else works on it, or keep the history in PostgreSQL (MMFS_POSTGRES_URL)"),
    (r"unable to open database file", "check that DAGSTER_HOME is there and may be written"),
    (r"no such (table|column)|relation .* does not exist|column .* does not exist", "run `dagster instance migrate`"),
)


class HistoryError(MmfsError):
    """Dagster's history cannot be read or written. The store is not concerned."""


@contextmanager
def history_errors(settings: Settings, home: Path) -> Iterator[None]:
    """Say what went wrong with the history, where it is, and what helps.

    Raises:
        HistoryError: Something inside failed because a database of Dagster's did.
    """
    try:
        yield
    except MmfsError:
        raise
    except Exception as error:
        said = _database_said(error)
        if said is None:
            raise
        mend = next((mend for pattern, mend in _MENDS if re.search(pattern, said)), "see `dagster instance info`")
        raise HistoryError(f"Dagster's history: {said}", where=history_place(settings, home), mend=mend) from error


def history_place(settings: Settings, home: Path) -> str:
    """Where the history is, without what is secret in it."""
    if settings.postgres_url is None:
        return f"DAGSTER_HOME={home}"
    parts = urlsplit(settings.postgres_url.get_secret_value())
    return f"PostgreSQL at {parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _database_said(error: BaseException | None) -> str | None:
    """The first line of what a database said, wherever it stands in the chain of causes; None where none did."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (SQLAlchemyError, sqlite3.Error)):
            said = str(getattr(error, "orig", None) or error).strip()
            return said.partition("\n")[0] or type(error).__name__
        error = error.__cause__ or error.__context__
    return None
