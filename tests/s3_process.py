"""The process behind `tests.s3`: an S3 server, and a proxy before it that counts bytes and breaks answers when told to.

A process of its own, because a client that waits for an answer may hold the lock that a thread would need to give it.
It prints the proxy's address, and ends when its standard input does. The proxy is asked and told at ``/_proxy``.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import socket
import struct
import sys
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}

_lock = threading.Lock()
_order: dict[str, Any] = {"share": 0.0, "faults": [], "only": "", "seed": 0}
#: What is refused, as (method, part of the path, status, code); an empty method is any.
_refusals: list[tuple[str, str, int, str]] = []
_counts: dict[str, Counter[str]] = {name: Counter() for name in ("bytes_sent", "requests", "others", "broken")}
_draws = random.Random(0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    target = ""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_proxy":
            self._control(body)
            return
        if (refusal := self._refusal()) is not None:
            self._refuse(*refusal)
            return
        status, headers, data = self._forward(body)
        fault = self._fault()
        if fault in {"500", "503"}:
            self._answer(int(fault or 0), {}, b"")
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif fault == "stall":
            self._wait_for_the_client_to_leave()
        elif fault in {"cut", "stall-in-body"}:
            self._answer(status, headers, data, sent=len(data) // 2)
            if fault == "stall-in-body":
                self._wait_for_the_client_to_leave()
            self.close_connection = True
        else:
            with _lock:
                if self.command == "GET":
                    _counts["requests"][self.path] += 1
                    _counts["bytes_sent"][self.path] += len(data) if status < 300 else 0
                else:
                    _counts["others"][f"{self.command} {self.path}"] += 1
            self._answer(status, headers, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        headers["Content-Length"] = answer.getheader("Content-Length") or str(len(data))
        return answer.status, headers, data

    def _answer(self, status: int, headers: dict[str, str], data: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:sent])
        self.wfile.flush()

    def _fault(self) -> str | None:
        with _lock:
            if self.command not in {"GET", "HEAD"} or _order["only"] not in self.path:
                return None
            fault = _draws.choice(_order["faults"]) if _draws.random() < _order["share"] else None
            _counts["broken"][fault or ""] += 1 if fault else 0
            return fault

    def _refusal(self) -> tuple[int, str] | None:
        with _lock:
            fitting = (one for one in _refusals if one[0] in {"", self.command} and one[1] in self.path)
            return next(((status, code) for _, _, status, code in fitting), None)

    def _refuse(self, status: int, code: str) -> None:
        """As S3 does: with a document that names the reason."""
        said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, {"Content-Type": "application/xml"}, said.encode())

    def _wait_for_the_client_to_leave(self) -> None:
        with suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True

    def _control(self, body: bytes) -> None:
        with _lock:
            if self.command == "POST":
                _order.update(json.loads(body))
                _refusals[:] = [tuple(one) for one in _order.pop("refusals", [])]
                _draws.seed(_order["seed"])
                for counter in _counts.values():
                    counter.clear()
            data = json.dumps(_counts).encode()
        self._answer(200, {}, data)

    def log_message(self, *_arguments: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client gave up waiting
            super().handle()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_arguments: object) -> None:
        pass


def main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    _Handler.target = f"{host}:{port}"
    proxy = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{proxy.server_address[1]}", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
