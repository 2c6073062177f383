"""Whose commits these are: the run that works, noted in everything it commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: The key of a run's id, in the log of a table and in the footers of its files.
RUN_ID = "run_id"

_run: ContextVar[str | None] = ContextVar("mmfs_run", default=None)


@contextmanager
def committing_as(run_id: str) -> Iterator[None]:
    """Note this run in all that the thread commits meanwhile, however deep below.

    >>> with committing_as("4f1c"):
    ...     origin()
    {'run_id': '4f1c'}
    >>> origin()
    {}
    """
    token = _run.set(run_id)
    try:
        yield
    finally:
        _run.reset(token)


def origin() -> dict[str, str]:
    """What a commit made now says of its origin; nothing outside of runs."""
    run_id = _run.get()
    return {} if run_id is None else {RUN_ID: run_id}
