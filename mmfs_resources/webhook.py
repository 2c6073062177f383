"""Where people are told of failures."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

#: For all tries of a message. Dagster gives a sensor a minute, in which it may tell of five runs.
DEADLINE_S = 8.0
_TRIES = 4
_LONGEST_PAUSE_S = 2.0
#: Answers that may be others a moment later.
_BUSY = frozenset({408, 425, 429, *range(500, 600)})


class WebhookResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Posts JSON to a URL, which is a secret as a rule: give it as ``dg.EnvVar``. No message of this class holds it."""

    url: str | None = Field(None, description="http(s) URL; unset: nothing is posted.")

    def post(self, message: Mapping[str, Any]) -> str | None:
        """Post a message; tried again with pauses while nobody answers or the other side is busy.

        The first try may take all the time there is: who answers late may have heard it, and hears it once.

        Returns:
            Why it did not arrive; None when it did. Comes back in time whatever the other side, or the look-up of its
            name, does, and never raises, since whoever reports a failure must not fail.
        """
        if not self.url:
            return "no URL is set (MMFS_WEBHOOK_URL)"
        url, body = self.url, json.dumps(message).encode()
        problems: list[str | None] = []
        thread = threading.Thread(target=lambda: problems.append(_deliver(url, body)), daemon=True)
        thread.start()
        thread.join(DEADLINE_S)
        return problems[0] if problems else f"no answer in {DEADLINE_S:g} s"


def _deliver(url: str, body: bytes) -> str | None:
    """Why it did not arrive."""
    deadline = time.monotonic() + DEADLINE_S
    problem = f"no answer in {DEADLINE_S:g} s"
    for attempt in range(_TRIES):
        pause_s = random.uniform(0, min(_LONGEST_PAUSE_S, 0.25 * 2**attempt)) if attempt else 0.0
        left_s = deadline - time.monotonic() - pause_s
        if left_s <= 0:
            break
        time.sleep(pause_s)
        try:
            status = _post(url, body, timeout_s=left_s)
        except (OSError, http.client.HTTPException) as error:
            problem = f"no answer ({type(error).__name__})"
            continue
        except Exception as error:  # an odd URL
            return f"the URL cannot be used ({type(error).__name__})"
        if 200 <= status < 300:
            return None
        problem = f"the answer was {status}"
        if status not in _BUSY:
            break
    return problem


def _post(url: str, body: bytes, *, timeout_s: float) -> int:
    """The status of the answer. Redirects are not followed: what was meant for one place goes to no other."""
    parts = urlsplit(url)
    make = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[parts.scheme]
    connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "mmfs"})
        status: int = connection.getresponse().status
        return status
    finally:
        connection.close()
