"""A loopback server that speaks the HTTP of a Qdrant server, for injecting errors into the real client.

What it answers comes from the client's own in-memory model. It shows how we behave when a server misbehaves, not how a
real server behaves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

#: What may go wrong with one request.
FAULTS = ("unavailable", "exhausted", "busy", "reset", "lost reply", "cut", "slow", "old", "html")


class StandIn(ThreadingHTTPServer):
    """Attributes:
    fault: What goes wrong with a request, told by its number (from 1), method and path; None: nothing.
    requests: How many came.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.requests = 0
        self.fault: Callable[[int, str, str], str | None] = lambda *_: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A server that listens until the end of the block."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer()

    do_PUT = do_POST = do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        with self.server.lock:
            self.server.requests += 1
            fault = self.server.fault(self.server.requests, self.command, "/".join(path))
        if fault == "unavailable":
            return self._send(503, {"status": {"error": "starting"}})
        if fault == "exhausted":
            return self._send(429, {"status": {"error": "rate limit"}}, {"Retry-After": "0"})
        if fault == "busy":
            return self._send(429, {"status": {"error": "rate limit"}})
        if fault == "old":
            return self._send(404, {"status": {"error": "Not found"}})
        if fault == "html":
            return self._send(200, "<html>maintenance</html>")
        if fault == "reset":
            return self._hang_up()
        if fault == "slow":
            return self._wait_for_the_client_to_leave()
        with self.server.lock:
            try:
                status, found = 200, _do(self.server.model, self.command, path, json.loads(body) if body else {})
            except ValueError as error:  # the model's word for what does not exist, or exists already
                status, found = (409 if "already exists" in str(error) else 404), str(error)
        if fault == "lost reply":
            return self._hang_up()
        answer = {"result": found, "status": "ok", "time": 0.0} if status == 200 else {"status": {"error": found}}
        return self._send(status, answer, cut=fault == "cut")

    def _wait_for_the_client_to_leave(self) -> None:
        with suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()


def _do(model: QdrantClient, method: str, path: list[str], body: dict[str, Any]) -> Any:
    match method, path:
        case "GET", ["aliases"]:
            return _plain(model.get_aliases())
        case "GET", ["collections"]:
            return _plain(model.get_collections())
        case "POST", ["collections", "aliases"]:
            operations = TypeAdapter(models.ChangeAliasesOperation).validate_python(body)
            return model.update_collection_aliases(operations.actions)
        case "GET", ["collections", name, "exists"]:
            return {"exists": model.collection_exists(name)}
        case "GET", ["collections", name]:
            return _plain(model.get_collection(name))
        case "DELETE", ["collections", name]:
            return model.delete_collection(name)
        case "PUT", ["collections", name]:
            vectors = models.VectorParams(**body["vectors"])
            return model.create_collection(name, vectors_config=vectors)
    return _do_points(model, method, path, body)


def _do_points(model: QdrantClient, method: str, path: list[str], body: dict[str, Any]) -> Any:
    chosen = models.Filter(**body["filter"]) if body.get("filter") else None
    match method, path:
        case "PUT", ["collections", name, "index"]:
            return _plain(model.create_payload_index(name, body["field_name"], body["field_schema"]))
        case "PUT", ["collections", name, "points"]:
            return _plain(model.upsert(name, [models.PointStruct(**point) for point in body["points"]]))
        case "POST", ["collections", name, "points", "delete"]:
            return _plain(model.delete(name, body["points"]))
        case "POST", ["collections", name, "points"]:
            found = model.retrieve(name, body["ids"], body["with_payload"], body["with_vector"])
            return [_plain(record) for record in found]
        case "POST", ["collections", name, "points", "scroll"]:
            records, offset = model.scroll(
                name,
                chosen,
                body["limit"],
                offset=body.get("offset"),
                with_payload=body["with_payload"],
                with_vectors=body["with_vector"],
            )
            return {"points": [_plain(record) for record in records], "next_page_offset": offset}
        case "POST", ["collections", name, "points", "count"]:
            return _plain(model.count(name, chosen, body["exact"]))
        case "POST", ["collections", name, "facet"]:
            return _plain(model.facet(name, body["key"], chosen, body["limit"], body["exact"]))
        case "POST", ["collections", name, "points", "query"]:
            return _plain(
                model.query_points(
                    name,
                    body["query"]["nearest"],
                    query_filter=chosen,
                    limit=body["limit"],
                    with_payload=body["with_payload"],
                    with_vectors=body["with_vector"],
                )
            )
    raise ValueError(f"no such request: {method} {'/'.join(path)}")


def _plain(answer: Any) -> Any:
    return answer.model_dump(mode="json")
