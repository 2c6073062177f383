"""An S3 server on this machine (moto) that counts the bytes which it hands out."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring.lanes import lane

BUCKET = "samples"
_COUNTED = "/-counted"


@contextmanager
def counting_bucket(folder: Path) -> Iterator[Bucket]:
    """A bucket that holds the files below a folder, served by a process of its own."""
    with lane(lambda: _serve) as server:
        port = server.call(folder)
        server.let_run()
        yield Bucket(f"http://127.0.0.1:{port}")


class Bucket:
    """A running bucket.

    Attributes:
        url: Of the bucket, for a store.
    """

    url = f"s3://{BUCKET}"

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def use(self) -> None:
        """Point this process at the server."""
        os.environ |= {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_REGION": "us-east-1",
        }

    def counted(self) -> dict[str, int]:
        """Bytes of bodies, and requests, by the first part of the objects' names, since this was last asked."""
        with urllib.request.urlopen(self._endpoint + _COUNTED) as answer:
            found: dict[str, int] = json.load(answer)
        return found


class _Counting:
    """Counts the bodies of GET requests."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == _COUNTED:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(counts).encode()]
        body = list(self._app(environ, start_response))
        if environ["REQUEST_METHOD"] == "GET":
            kind = "/".join(path.strip("/").split("/")[1:2]) or "lists"
            with self._lock:
                self._counts[f"{kind} bytes"] += sum(map(len, body))
                self._counts[f"{kind} requests"] += 1
        return body


def _serve(folder: Path) -> int:
    """Start the server on a free port, and fill the bucket."""
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = _Counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    Bucket(endpoint).use()
    from obstore import put
    from obstore.store import S3Store

    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"))
    store = S3Store.from_url(Bucket.url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(store, path.relative_to(folder).as_posix(), path, use_multipart=False)
    Bucket(endpoint).counted()
    return int(server.server_port)
