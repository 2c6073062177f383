"""Getting at the bytes of a URI."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mmfs.ingest.originals import Originals, copy_name, copy_original
from mmfs.ingest.web import _connect, download
from mmfs.media import Reason, RefusedError
from tests.ingest.making import open_store


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1/secret")
        self.send_header("Content-Length", "100" if self.path == "/cut" else "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_lasts_until_it_is_released(tmp_path: Path, site: str) -> None:
    store = open_store(tmp_path, allow_http=True)
    with Originals(store) as originals:
        path = originals.path(f"{site}/a.txt")
        assert (path.read_bytes(), path.suffix) == (b"hello", ".txt")
        originals.release(f"{site}/a.txt")
        assert not path.exists()
        kept = originals.path(f"{site}/b/..%2f..%2fb.j$g")
        assert kept.read_bytes() == b"hello"
    assert not kept.exists()


def test_downloads_are_refused_while_http_is_off(tmp_path: Path, site: str) -> None:
    with Originals(open_store(tmp_path)) as originals, pytest.raises(RefusedError, match="off") as caught:
        originals.path(f"{site}/a.jpg")
    assert caught.value.reason == Reason.FORBIDDEN


@pytest.mark.parametrize(
    ("page", "reason"),
    [("/moved", Reason.FORBIDDEN), ("/gone", Reason.MISSING), ("/cut", Reason.TRUNCATED), ("/long", Reason.TOO_LARGE)],
)
def test_a_download_follows_no_redirect_and_has_an_end(tmp_path: Path, site: str, page: str, reason: Reason) -> None:
    with (tmp_path / "f").open("wb") as file, pytest.raises(RefusedError) as caught:
        download(site + page, file, max_bytes=4 if page == "/long" else 1000)
    assert caught.value.reason == reason
    assert file.name
    assert (tmp_path / "f").stat().st_size <= 5


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1"])
def test_link_local_addresses_are_refused_whatever_their_name(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    class Peer(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return (address, 80)

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: Peer())
    with pytest.raises(RefusedError) as caught:
        _connect("harmless.example", 80)
    assert caught.value.reason == Reason.FORBIDDEN


def test_a_link_put_in_the_way_after_listing_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    with Originals(open_store(tmp_path / "store")) as originals, pytest.raises(RefusedError, match="link") as caught:
        originals.path(str(tmp_path / "a.jpg"))
    assert caught.value.reason == Reason.FORBIDDEN


def test_a_local_file_is_read_where_it_is_and_a_missing_one_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with Originals(open_store(tmp_path / "store")) as originals:
        assert originals.path(str(tmp_path / "a.jpg")) == tmp_path / "a.jpg"
        originals.release(str(tmp_path / "a.jpg"))
        assert (tmp_path / "a.jpg").exists()
        with pytest.raises(RefusedError) as caught:
            originals.path(str(tmp_path / "b.jpg"))
    assert caught.value.reason == Reason.MISSING


def test_the_stores_copy_comes_before_the_source(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "a.jpg").write_bytes(b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    assert copy_original(store, tmp_path / "a.jpg", sha256) == 1
    assert copy_original(store, tmp_path / "a.jpg", sha256) == 0
    (tmp_path / "a.jpg").unlink()
    with Originals(store) as originals:
        assert originals.path(str(tmp_path / "a.jpg"), sha256=sha256).read_bytes() == b"x"


def test_bytes_that_changed_are_not_copied(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "a.jpg").write_bytes(b"other")
    sha256 = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(RefusedError) as caught:
        copy_original(store, tmp_path / "a.jpg", sha256)
    assert caught.value.reason == Reason.CHANGED
    assert not store.objects.exists(copy_name(sha256))
    assert not list((tmp_path / "store/staging").iterdir())
