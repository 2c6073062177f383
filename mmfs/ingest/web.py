"""Downloads over http(s), for stores whose owner allowed them: no redirects, no link-local hosts, bounded."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from typing import IO
from urllib.parse import urlsplit

from mmfs.media.info import Reason, RefusedError

#: Largest download.
MAX_BYTES = 16 << 30
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


def download(url: str, file: IO[bytes], *, max_bytes: int = MAX_BYTES) -> None:
    """Write what a URL gives into a file.

    Raises:
        RefusedError: FORBIDDEN (a redirect or a link-local host), MISSING (no answer, or not 200), TOO_LARGE.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    raw = _connect(parts.hostname or "", port)
    try:
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=_TIMEOUT_S)
        connection.sock = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname) if secure else raw
        )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "*/*", "User-Agent": "mmfs"})
        _read(connection.getresponse(), url, file, max_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RefusedError(Reason.MISSING, f"cannot download {url}: {error}", mend="check the URL") from error
    finally:
        raw.close()


def _read(response: http.client.HTTPResponse, url: str, file: IO[bytes], max_bytes: int) -> None:
    if 300 <= response.status < 400:
        raise RefusedError(Reason.FORBIDDEN, f"{url} redirects elsewhere", mend="list the URL it leads to")
    if response.status != 200:
        raise RefusedError(Reason.MISSING, f"{url} answers {response.status}", mend="check the URL")
    written = 0
    while data := response.read(min(_CHUNK_BYTES, max_bytes + 1 - written)):
        file.write(data)
        written += len(data)
    if written > max_bytes:
        raise RefusedError(Reason.TOO_LARGE, f"{url} is longer than {max_bytes:,} bytes", mend="copy it by hand")
    if response.length:
        raise RefusedError(Reason.TRUNCATED, f"{url} ended {response.length:,} bytes early", mend="try again")


def _connect(host: str, port: int) -> socket.socket:
    """A connection whose other end was looked at before a byte is sent, so that a changing name gains nothing."""
    try:
        made = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    except OSError as error:
        raise RefusedError(Reason.MISSING, f"cannot reach {host}: {error}", mend="check the URL") from error
    address = ipaddress.ip_address(made.getpeername()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
        made.close()
        raise RefusedError(Reason.FORBIDDEN, f"{host} is a link-local address", mend="serve it elsewhere")
    return made
