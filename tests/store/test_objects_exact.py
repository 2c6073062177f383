"""Buckets in which others have put objects with odd names: none of them stops a listing, or is taken for another."""

from __future__ import annotations

import doctest
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import pyarrow as pa
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import mmfs.store.objects
import mmfs.store.objects_deadline
import mmfs.store.objects_exact
import mmfs.store.objects_pages
import mmfs.store.objects_remote
from mmfs.errors import StoreError, UnreachableError
from mmfs.settings import Settings
from mmfs.store import Objects, Store
from mmfs.store.objects import is_own_name, oddity
from mmfs.store.objects_exact import ExactList
from mmfs.store.objects_remote import RemoteObjects
from mmfs.store.retention import vacuum
from tests.s3 import S3Server, s3_server

ODD = [
    "/lead.jpg", "//two.jpg", "a//b.jpg", "a/./c.jpg", "a/../d.jpg", "a/b\\c.jpg", "c\x01.jpg", "c\t.jpg", "c\x7f.jpg",
    "./e.jpg", "f//", "f//g/h.jpg",
]  # fmt: skip
_numbers = itertools.count()
PLAIN = ["a/b.jpg", "a/c.jpg", "-1.jpg", ".../e.jpg", "lead.jpg", "q r+s%20&<>.jpg", "zä\U0001f600.jpg"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found:
        for bucket in ("whole", "below"):
            found.make_bucket(bucket)
        for name in [*ODD, *PLAIN, "a/"]:
            found.put(f"/whole/{quote(name)}", "x")
            found.put(f"/below/set/{quote(name)}", "x")
        found.put("/below/set/", "")
        found.put("/below/other/x.jpg", "x")
        yield found


@pytest.fixture(autouse=True)
def _at(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.use(monkeypatch)
    server.count_anew()


@pytest.fixture(params=["patient", "deadline"])
def of(request: pytest.FixtureRequest) -> type[Objects]:
    """How objects are opened."""

    class Opened(Objects):
        @classmethod
        def open(cls, url: object) -> Objects:
            found = Objects.open(str(url))
            return found.with_deadline(60) if request.param == "deadline" else found

    return Opened


def walked(objects: Objects, most: int) -> list[str]:
    """All names, page by page."""
    found: list[str] = []
    while page := objects.page(found[-1] if found else None, most=most):
        found += [info.path for info in page]
        assert len(found) < 100, "it does not end"
    return found


def filled(server: S3Server, names: Sequence[str]) -> str:
    """A new bucket with these objects, of which markers are empty; its URL."""
    number = next(_numbers)
    bucket = server.make_bucket(f"filled-{number}")
    for name in names:
        server.put(f"/filled-{number}/{quote(name)}", "" if name.endswith("/") else "x")
    server.count_anew()
    return bucket


def requests(server: S3Server) -> tuple[int, int]:
    """How many lists and how many single objects were asked for; counting begins anew."""
    counts = server.counts()
    server.count_anew()
    return sum(counts.requests.values()), sum(counts.others.values())


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
def test_pages_show_each_object_once_under_its_own_name(of: type[Objects], url: str, most: int) -> None:
    found = walked(of.open(url), most)
    markers = ["a/"] if url == "s3://whole" else ["", "a/"]
    seen = [name for name in found if name != "a"]  # a marker that ends a page is told of in the next one
    assert seen == sorted([*ODD, *PLAIN, *markers], key=str.encode)


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_what_others_named_oddly_is_no_object_of_a_store(
    of: type[Objects], url: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmfs.store.objects_remote, "PAGE", at_once)
    objects = of.open(url)
    assert sorted({info.path for info in objects.list()} - {"a"}) == sorted(PLAIN)
    assert sorted(info.path for info in objects.list("a")) == ["a/b.jpg", "a/c.jpg"]
    assert list(objects.list("none")) == []
    assert objects.folders() == ["...", "a", "f"]
    assert objects.folders("a") == []


def test_a_store_is_opened_and_cleaned_around_what_others_put_into_it(server: S3Server) -> None:
    server.make_bucket("stores")
    store = Store.open("s3://stores/store", settings=Settings())
    store.objects.put("packs/frames/000000/old.tar", b"x")
    odd = ["/x", "index//q", "packs//y.tar", "packs/frames/000000//z.tar"]
    for name in odd:
        server.put(f"/stores/store/{name}", "x")
    assert Store.open("s3://stores/store", settings=Settings()).tables.names() == store.tables.names()
    assert vacuum(store, keep_days=0, now_us=4_000_000_000_000_000).packs == 1
    assert {info.path for info in store.objects.page()} >= set(odd)


@pytest.mark.parametrize("name", [*ODD, "a/", "", "..", "a/.."])
def test_no_object_is_taken_for_another_of_a_like_name(name: str) -> None:
    objects = Objects.open("s3://whole")
    for ask in (objects.get, objects.exists, objects.info, objects.delete, objects.open_file, objects.delta_url):
        with pytest.raises(StoreError, match="is no name inside the store"):
            ask(name)
    with pytest.raises(StoreError, match="is no name inside the store"):
        objects.put(name, b"y")
    assert objects.exists("a/b.jpg")
    assert objects.exists("lead.jpg")


@pytest.mark.parametrize(
    "names",
    [
        ["/lead.jpg", "a.jpg", "lead.jpg"],  # out of order without its slash
        ["/lead.jpg", "lead.jpg"],  # twice
        ["/x.jpg.bak", "x.jpg"],  # what comes next looks like a marker of a folder
        ["-1.jpg", "/-0.jpg", "0.jpg"],  # out of order at the seam of two pages
        ["/b1.jpg", "/b2.jpg", "/b3.jpg", "a.jpg", "c.jpg"],
        ["/", "a.jpg"],
    ],
)
@pytest.mark.parametrize("most", [1, 2, 3, 1000])
def test_a_slash_at_the_beginning_of_a_name_is_missed_where_others_show_it(
    server: S3Server, of: type[Objects], names: list[str], most: int
) -> None:
    assert walked(of.open(filled(server, names)), most) == names


@pytest.mark.parametrize("may_look", [True, False])
@pytest.mark.parametrize("most", [1, 2])
def test_pages_whose_names_all_lost_their_slash_let_no_later_object_be_passed_over(
    server: S3Server, of: type[Objects], most: int, may_look: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmfs.store.objects_remote, "PAGE", 2)
    monkeypatch.setattr(mmfs.store.objects_deadline, "PAGE", 2)
    names = ["/b1.jpg", "/b2.jpg", "/b3.jpg", "a.jpg", "b1.jpg", "c.jpg"]
    objects = of.open(filled(server, names))
    if not may_look:
        server.refuse("", method="HEAD")
    objects.put("b1.jpg", b"another")
    assert walked(objects, most) == names


def test_a_page_in_order_is_one_request_and_the_end_of_the_first_is_looked_at(
    server: S3Server, of: type[Objects]
) -> None:
    names = ["-1.jpg", "clips-1.jpg", "clips/", "clips/a.jpg", "x.jpg"]
    objects = of.open(filled(server, names))
    assert [info.path for info in objects.page()] == names
    assert requests(server) == (1, 0)
    assert [info.path for info in objects.page(most=2)] == names[:2]
    assert requests(server) == (1, 1), "a full page that may hold names with a leading slash"
    for after in names[1:]:
        objects.page(after, most=1)
        assert requests(server) == (1, 0)
    assert len(list(objects.list())) == 4
    assert requests(server) == (1, 0)


def test_only_pages_with_odd_names_are_asked_for_twice(server: S3Server, of: type[Objects]) -> None:
    assert [info.path for info in of.open("s3://below/other").page(most=1)] == ["x.jpg"]
    assert requests(server) == (1, 0)
    for url in ("s3://below/set", "s3://whole"):
        list(of.open(url).list())
        assert requests(server) == (2, 0)


def test_sizes_and_times_are_those_of_the_library() -> None:
    objects = Objects.open("s3://below/set")
    [listed] = [info for info in objects.page() if info.path == "a/b.jpg"]
    assert listed == objects.info("a/b.jpg")


def test_a_prefix_is_the_one_that_was_named(server: S3Server) -> None:
    for prefix in ("a%20b", "a b", "a#b?c"):
        server.put(f"/whole/names/{quote(prefix)}/{len(prefix)}.jpg", "x")
    for prefix in ("a%20b", "a b", "a#b?c"):
        assert [info.path for info in Objects.open(f"s3://whole/names/{prefix}").page()] == [f"{len(prefix)}.jpg"]
        Objects.open(f"s3://whole/names/{prefix}").delete(f"{len(prefix)}.jpg")
    for url in ("s3://whole//a", "s3://whole/a//b", "s3://whole/a/../b", "s3://whole/./a"):
        with pytest.raises(StoreError, match="cannot open"):
            Objects.open(url)


def test_the_delta_library_finds_a_table_where_objects_are(server: S3Server) -> None:
    import deltalake

    server.make_bucket("tables")
    with pytest.raises(StoreError, match="no table can be kept under a name with '%'"):
        Objects.open("s3://tables/a%20b").delta_url("frames")
    objects = Objects.open("s3://tables/a b ü#c")
    deltalake.write_deltalake(objects.delta_url("frames"), pa.table({"n": [1]}))
    assert objects.exists("frames/_delta_log/00000000000000000000.json")


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
def test_an_answer_that_fails_for_a_while_is_asked_for_again(
    server: S3Server, of: type[Objects], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmfs.store.objects_remote, "_BACKOFF_S", 0.01)
    server.break_reads(0.5, "503", "reset", "cut", only="encoding-type=url", seed=3)
    objects = of.open(url)
    for _ in range(4):
        assert len(objects.page()) > len(ODD)
    assert sum(server.counts().broken.values()) >= 2


def test_a_list_that_never_comes_ends_in_time_or_after_the_tries(server: S3Server) -> None:
    server.break_reads(1.0, "stall", only="encoding-type=url")
    with pytest.raises(UnreachableError, match=r"the list of objects could not be read within 0\.5 s"):
        Objects.open("s3://below/set").with_deadline(0.5).page()
    server.break_reads(1.0, "503", only="/whole/?")  # what is still on its way goes elsewhere
    with pytest.raises(StoreError, match="503 Service Unavailable"):
        RemoteObjects("s3://whole", retry={"max_retries": 1}).page("a//b")
    assert server.counts().broken["503"] == 2
    with pytest.raises(StoreError, match="503 Service Unavailable"):
        RemoteObjects("s3://whole", retry={"max_retries": 99, "retry_timeout": timedelta(0)}).page("a//b")
    assert server.counts().broken["503"] == 3, "its time is over at once"


class _Slow(BaseHTTPRequestHandler):
    """A bucket that sends a byte now and then, beside one that is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while self.path.startswith("/slow"):
                self.wfile.write(b" ")
                time.sleep(0.02)
            self.wfile.write(b"<ListBucketResult/>")

    def log_message(self, *_arguments: object) -> None:
        pass


def test_an_answer_that_never_ends_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as slow:
        slow.daemon_threads = True
        threading.Thread(target=slow.serve_forever, args=(0.01,), daemon=True).start()
        S3Server(f"http://127.0.0.1:{slow.server_port}").use(monkeypatch)
        for _ in range(2):
            with pytest.raises(UnreachableError, match=r"the list of objects could not be read within 0\.5 s"):
                Objects.open("s3://slow").with_deadline(0.5).page("a//b")
            with pytest.raises(UnreachableError, match="does not answer"):
                RemoteObjects("s3://slow", request_s=0.1, retry={"max_retries": 1}).page("a//b")
        assert Objects.open("s3://well").with_deadline(60).page("a//b") == []
        began_s = time.monotonic()
        while any(thread.name == "exact-list" for thread in threading.enumerate()):
            assert time.monotonic() - began_s < 60, "threads stay behind"
            time.sleep(0.01)
        slow.shutdown()


def test_a_signature_that_never_comes_keeps_nobody_waiting() -> None:
    is_over = threading.Event()

    def sign(options: dict[str, str]) -> str:
        if "endpoint" in options:
            is_over.wait()
        return "https://127.0.0.1:9/bucket/?X-Amz-Signature=1"

    with pytest.raises(OSError, match=r"error sending request: no whole answer within 0\.05 s"):
        ExactList(sign, "", request_s=0.05).page("", None, 1)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "exact-list")
    is_over.set()


def test_an_answer_without_end_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmfs.store.objects_exact, "_MOST_BYTES", 100)
    with pytest.raises(StoreError, match="the answer is no list"):
        RemoteObjects("s3://whole", retry={"max_retries": 0}).page("a//b")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(403, "AccessDenied", "bucket whole may not be listed"), (404, "NoSuchBucket", "there is no bucket whole")],
)
def test_a_refusal_is_told_at_once_and_tells_no_secret(
    server: S3Server, of: type[Objects], status: int, code: str, said: str
) -> None:
    server.refuse("encoding-type=url", status=status, code=code)
    with pytest.raises(StoreError, match=said) as caught:
        of.open("s3://whole").page()
    assert "Signature" not in f"{caught.value}{caught.value.__cause__}{caught.value.where}"


def test_http_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StoreError, match=r"http is off .*set AWS_ALLOW_HTTP=1"):
        Objects.open("s3://whole").page("a//b.jpg")


def test_who_signs_nothing_sends_no_signature(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert len(Objects.open("s3://whole").page()) > len(ODD)
    assert not any("X-Amz" in path for path in server.counts().requests)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "https://s3.eu-west-1.amazonaws.com/media/"),
        ({"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}, "https://media.s3.eu-west-1.amazonaws.com/"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000/media/"),
        ({"AWS_ENDPOINT": "https://objects.example/s3"}, "https://objects.example/s3/media/"),
    ],
)
def test_requests_go_to_the_librarys_endpoint_with_the_signature_that_s3_expects(
    variables: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    session = {"AWS_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "to/k+en=="}
    for name, value in (variables | session).items():
        monkeypatch.setenv(name, value)
    query = f"list-type=2&encoding-type=url&prefix={quote('a b/', safe='')}&start-after={quote('ä//+ %~.jpg', safe='')}"
    url = RemoteObjects("s3://media")._exact._signed(query)
    assert url.startswith(f"{address}?{query}&X-Amz-")
    signed = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    at = datetime.strptime(signed["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: at)
    request = AWSRequest("GET", f"{address}?{query}")
    signer = botocore.auth.S3SigV4QueryAuth(
        Credentials("test", "test", "to/k+en=="), "s3", "eu-west-1", expires=int(signed["X-Amz-Expires"])
    )
    signer.add_auth(request)
    assert signed["X-Amz-Signature"] == parse_qs(urlsplit(request.url).query)["X-Amz-Signature"][0]


def test_each_odd_name_is_told_apart_from_what_a_store_may_hold() -> None:
    assert [oddity(name) is None for name in PLAIN] == [True] * len(PLAIN)
    assert [is_own_name(name) for name in PLAIN] == [True] * len(PLAIN)
    assert None not in [oddity(name) for name in ODD]


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.store.objects).failed == 0
    assert doctest.testmod(mmfs.store.objects_pages).failed == 0
