"""Where people are told of failures."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

_TIMEOUT_S = 5.0
_TRIES = 4
_LONGEST_PAUSE_S = 2.0
#: Answers that may be others a moment later.
_BUSY = frozenset({408, 425, 429, *range(500, 600)})


class WebhookResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Posts JSON to a URL, which is a secret as a rule: give it as ``dg.EnvVar``. No message of this class holds it."""

    url: str | None = Field(None, description="http(s) URL; unset: nothing is posted.")

    def post(self, message: Mapping[str, Any]) -> str | None:
        """Post a message; tried again with pauses while nobody answers or the other side is busy.

        Returns:
            Why it did not arrive; None when it did. Never raises, since whoever reports a failure must not fail.
        """
        if not self.url:
            return "no URL is set (MMFS_WEBHOOK_URL)"
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.25 * 2**attempt)))
            try:
                status = _post(self.url, json.dumps(message).encode())
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


def _post(url: str, body: bytes) -> int:
    """The status of the answer. Redirects are not followed: what was meant for one place goes to no other."""
    parts = urlsplit(url)
    make = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[parts.scheme]
    connection = make(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "mmfs"})
        status: int = connection.getresponse().status
        return status
    finally:
        connection.close()
