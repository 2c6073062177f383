"""Calls to a server: tried again while it is away or busy, until a deadline, then a clear error."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mmfs.errors import SearchError

T = TypeVar("T")

#: gRPC codes and HTTP statuses that pass by themselves.
_PASSING_CODES = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"})
_PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
#: What a server says to a request that it does not know.
_UNKNOWN_STATUSES = frozenset({404, 405, 501})
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


@dataclass(frozen=True)
class Retry:
    """How long to insist.

    Attributes:
        deadline_s: Seconds from the first try after which a passing error is final.
        sleep: Waits so many seconds.
        draw: Random numbers in [0, 1), so that clients that failed together do not return together.
    """

    deadline_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = field(default=random.random)

    def __call__(self, call: Callable[[], T], *, where: str) -> T:
        """The result of ``call``, which must be safe to repeat.

        Raises:
            SearchError: It failed for good, or was still failing at the deadline.
        """
        started = time.monotonic()
        wait = _FIRST_WAIT_S
        while True:
            try:
                return call()
            except Exception as error:
                if not is_passing(error):
                    raise _refused(error, where) from error
                wait = min(_LONGEST_WAIT_S, wait * 2)
                pause = max(wait * (0.5 + self.draw() / 2), float(getattr(error, "retry_after_s", 0)))
                if time.monotonic() - started + pause > self.deadline_s:
                    raise _away(error, where, self.deadline_s) from error
                self.sleep(pause)


def is_passing(error: Exception) -> bool:
    """Whether the server may answer the same call later."""
    code = getattr(error, "code", None)
    if callable(code) and getattr(code(), "name", None) in _PASSING_CODES:
        return True
    if getattr(error, "status_code", None) in _PASSING_STATUSES or hasattr(error, "retry_after_s"):
        return True
    if type(error).__name__ == "ResponseHandlingException":
        # The connection failed, unless an answer came that is none the client knows.
        return not isinstance(getattr(error, "source", None), ValueError)
    return isinstance(error, ConnectionError | TimeoutError)


def _away(error: Exception, where: str, deadline_s: float) -> SearchError:
    return SearchError(
        f"the Qdrant server did not answer within {deadline_s:g} s ({_short(error)})",
        where=where,
        mend="start it or mend MMFS_QDRANT_URL; unset that variable to use the embedded index",
    )


def _refused(error: Exception, where: str) -> SearchError:
    if _is_foreign(error):
        return SearchError(
            f"what answers does not speak as this client's Qdrant does ({_short(error)})",
            where=where,
            mend="let the server, and any proxy before it, have the client's version; wait for an upgrade to end",
        )
    return SearchError(
        f"the Qdrant server refused ({_short(error)})",
        where=where,
        mend="check MMFS_QDRANT_API_KEY and the server's version and log",
    )


def _is_foreign(error: Exception) -> bool:
    """Whether what came back is no answer of the server that the client was made for."""
    if getattr(error, "status_code", None) in _UNKNOWN_STATUSES:
        return b"Collection" not in getattr(error, "content", b"")  # that one knows the request, but not the name
    return isinstance(error, json.JSONDecodeError) or isinstance(getattr(error, "source", None), ValueError)


def _short(error: Exception) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else str(error)
    lines = str(text or "").strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
