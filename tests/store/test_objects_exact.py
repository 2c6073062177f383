"""Buckets in which others have put objects with odd names: none of them stops a listing, or is taken for another."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import pyarrow as pa
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import mmfs.store.objects
import mmfs.store.objects_remote
from mmfs.errors import StoreError, UnreachableError
from mmfs.settings import Settings
from mmfs.store import Objects, Store
from mmfs.store.objects import is_own_name, oddity
from mmfs.store.objects_remote import RemoteObjects
from mmfs.store.retention import vacuum
from tests.s3 import S3Server, s3_server

ODD = [
    "/lead.jpg", "//two.jpg", "a//b.jpg", "a/./c.jpg", "a/../d.jpg", "a/b\\c.jpg", "c\x01.jpg", "c\t.jpg", "c\x7f.jpg",
    "./e.jpg", "f//", "f//g/h.jpg",
]  # fmt: skip
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
            return found.with_deadline(10) if request.param == "deadline" else found

    return Opened


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
def test_pages_show_each_object_once_under_its_own_name(of: type[Objects], url: str, most: int) -> None:
    objects, found, after = of.open(url), [], None
    while page := objects.page(after, most=most):
        found += [info.path for info in page]
        after = found[-1]
        assert len(found) < 100, "it does not end"
    markers = ["a/"] if url == "s3://whole" else ["", "a/"]
    seen = [name for name in found if name != "a"]  # a marker that ends a page is told of in the next one
    assert seen == sorted([*ODD, *PLAIN, *markers], key=str.encode)


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_what_others_named_oddly_is_no_object_of_a_store(
    of: type[Objects], url: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmfs.store.objects_remote, "_PAGE", at_once)
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


def test_only_pages_with_odd_names_are_asked_for_twice(server: S3Server) -> None:
    objects = Objects.open("s3://below/other")
    assert [info.path for info in objects.page()] == ["x.jpg"]
    assert sum(server.counts().requests.values()) == 1
    list(Objects.open("s3://below/set").list())
    assert sum(server.counts().requests.values()) == 3


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
        RemoteObjects("s3://whole", retry={"max_retries": 1}).page()
    assert server.counts().broken["503"] == 2


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
        Objects.open("s3://whole").page()


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
    assert doctest.testmod(mmfs.store.objects_remote).failed == 0
