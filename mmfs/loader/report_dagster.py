"""Telling a Dagster webserver of training runs, so that they end the lineage there. HTTP alone; no Dagster here."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections import deque
from collections.abc import Mapping
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mmfs.errors import LoaderError
from mmfs.loader.aside import aside

log = logging.getLogger("mmfs.loader")

#: The asset whose materializations are training runs (`mmfs_assets.assets.training_runs`).
ASSET = "training_runs"

#: For connecting, and for each wait for bytes. A webserver with a busy database takes seconds, and nobody waits for it.
_TIMEOUT_S = 10.0
#: Reports that wait for a slow server; older ones make room.
_WAITING = 8
_LONGEST_ANSWER_BYTES = 2000


class DagsterReporter:
    """Reports materializations of `ASSET`, from a thread of its own. Whatever goes wrong is one warning in the log.

    Args:
        url: The webserver; ``user:password@`` in it is sent as basic authentication, and shown nowhere.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()
        self._is_sending = False
        self._has_warned = False

    def report(self, data_version: str, metadata: Mapping[str, Any]) -> None:
        """Report one materialization. Returns at once.

        Args:
            data_version: What Dagster compares to tell whether runs saw the same data.
            metadata: JSON-able values by label.
        """
        body = json.dumps({"data_version": data_version, "metadata": dict(metadata)}).encode()
        with self._lock:
            self._waiting.append(body)
            if self._is_sending:
                return
            self._is_sending = True
        try:
            aside(self._send_waiting, "mmfs-dagster-reporter")
        except RuntimeError as error:  # the interpreter is on its way out
            self._is_sending = False
            self._warn(error)

    def _send_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_sending = False
                    return
                body = self._waiting.popleft()
            try:
                _post(self._url, body)
            except (LoaderError, HTTPException, OSError, ValueError) as error:
                self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("training goes on, but Dagster is not told of it: %s", error)


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would send the password to whom it names."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def _post(url: str, body: bytes) -> None:
    parts = _checked(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    headers = {"Content-Type": "application/json"}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    request = Request(f"{place}/report_asset_materialization/{ASSET}", data=body, headers=headers, method="POST")
    try:
        with build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_S) as answer:
            answer.read(_LONGEST_ANSWER_BYTES)
    except HTTPError as error:
        said = error.read(_LONGEST_ANSWER_BYTES).decode(errors="replace")
        raise LoaderError(
            f"{place} answered {error.code}: {' '.join(said.split())[:200] or error.reason}",
            mend="check MMFS_DAGSTER_URL; a read-only webserver takes no reports",
        ) from None
    except (HTTPException, OSError) as error:
        raise LoaderError(f"{place} does not answer: {error}", mend="check MMFS_DAGSTER_URL, or unset it") from None


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        # The value is not shown: it may hold a password.
        raise LoaderError("MMFS_DAGSTER_URL is no http(s) URL", mend="for example http://127.0.0.1:3000")
    return parts
