"""A model hub on the loopback interface that serves directories, as far as huggingface_hub asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def loopback_hub(repositories: dict[str, Path]) -> Iterator[str]:
    """Serve ``{"organisation/name": directory}``; the value for HF_ENDPOINT."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            for repo, directory in repositories.items():
                files = sorted(file for file in directory.iterdir() if file.is_file())
                if path in (f"/api/models/{repo}", f"/api/models/{repo}/revision/main"):
                    siblings = [{"rfilename": file.name} for file in files]
                    return self._send(
                        json.dumps({"id": repo, "sha": _COMMIT, "siblings": siblings}).encode(), with_body
                    )
                if path.startswith(f"/api/models/{repo}/tree/"):
                    tree = [
                        {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _etag(file)}
                        for file in files
                    ]
                    return self._send(json.dumps(tree).encode(), with_body)
                for file in files:
                    if path.startswith(f"/{repo}/resolve/") and path.endswith(f"/{file.name}"):
                        return self._send(file.read_bytes(), with_body, etag=_etag(file))
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _send(self, body: bytes, with_body: bool, *, etag: str = "x") -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", _COMMIT)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
