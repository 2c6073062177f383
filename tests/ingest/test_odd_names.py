"""Buckets with objects whose names cannot be read: each is one refused entry, and all others are as without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from mmfs.errors import IngestError
from mmfs.ingest import assign, list_sources, register_media
from mmfs.ingest.listed import Listing
from mmfs.ingest.rounds import Page, look_page
from mmfs.settings import Settings
from mmfs.store import Objects
from tests.ingest.making import ingest, jpeg, open_store
from tests.s3 import S3Server, s3_server

#: Why each is refused, by name.
ODD = {
    "/lead.jpg": "a leading slash",
    "a//b.jpg": "'//'",
    "a/./b.jpg": "'.' or '..' between slashes",
    "a/../b.jpg": "'.' or '..' between slashes",
    "a/b\\.jpg": "a backslash",
    "c\t.jpg": "a control character",
    "c\x01.jpg": "a control character",
    "z//y/x.mp4": "'//'",
}
HIDDEN = ("z//.jpg", ".hidden//h.jpg", "f//", "//")
PLAIN = ("a/b.jpg", "b.jpg", "lead.jpg", "z/y/x.mp4", "~.jpg")
#: After the time of any object here.
NOW_US = 4_000_000_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found:
        for bucket, below in (("whole", ""), ("below", "set/")):
            found.make_bucket(bucket)
            for name in (*ODD, *PLAIN, "a//b.txt", "a//b.md", "a//captions.csv", *HIDDEN):
                found.put(f"/{bucket}/{quote(below + name)}", "x")
            found.put(f"/{bucket}/{quote(below)}a/b.txt", "a caption")
        yield found


@pytest.fixture(autouse=True)
def _at(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.use(monkeypatch)
    server.count_anew()


def told(listing: Listing, url: str) -> Mapping[str, str | None]:
    return {item.uri.removeprefix(f"{url}/"): item.refused for item in listing}


def look(*uris: str, most: int, cursor: str | None = None) -> Page:
    settings = Settings.model_construct(watch_page_files=most)
    return look_page(uris, settings, cursor, now_us=NOW_US)


def round_of(uri: str, *, most: int) -> list[Page]:
    pages = [look(uri, most=most)]
    while not pages[-1].ends_round:
        pages.append(look(uri, most=most, cursor=pages[-1].cursor))
        assert len(pages) < 50, "the round does not end"
    assert [page.failures for page in pages] == [()] * len(pages)
    return pages


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
def test_a_whole_listing_has_an_entry_for_each_and_why(url: str) -> None:
    found = list_sources([url], Settings())
    odd = ODD if url == "s3://whole" else ODD | {"/lead.jpg": "'//'"}
    refused = {name: f"forbidden: {why} in the name of the object; give it a name without" for name, why in odd.items()}
    assert told(found, url) == refused | dict.fromkeys(PLAIN)
    assert [item.uri for item in found if item.captions] == [f"{url}/a/b.jpg"]
    assert found.warnings == []


@pytest.mark.parametrize("url", ["s3://whole", "s3://below/set"])
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_round_sees_each_once_however_it_is_cut(url: str, most: int) -> None:
    seen = [item.uri for page in round_of(url, most=most) for item in page.listing]
    assert sorted(seen) == [item.uri for item in list_sources([url], Settings())]


def test_each_ends_as_a_row_of_quarantine_and_the_others_are_media(server: S3Server, tmp_path: Path) -> None:
    bucket = server.make_bucket("media")
    objects = Objects.open(bucket)
    for number, name in enumerate(("a/b.jpg", "c.jpg")):
        objects.put(name, jpeg(number))
    for name in ("a//b.jpg", "/c.jpg", "c\x01.jpg", "d\\e.jpg"):
        server.put(f"/media/{quote(name)}", "x")
    store = open_store(tmp_path / "store")
    ingest(store, bucket)
    result = register_media(store, "000000", now_us=1)
    assert (result.computed, result.quarantined) == (2, 4)
    assert sorted(store.tables.read("sources").column("uri").to_pylist()) == [f"{bucket}/a/b.jpg", f"{bucket}/c.jpg"]
    rows = store.tables.read("quarantine", columns=["uri", "reason", "message"]).to_pylist()
    assert sorted((row["uri"], row["reason"]) for row in rows) == [
        (f"{bucket}/{name}", "forbidden") for name in ("/c.jpg", "a//b.jpg", "c\x01.jpg", "d\\e.jpg")
    ]
    assert all("give it a name without" in row["message"] for row in rows)
    again = assign(store, list_sources([bucket], store.settings), added_by="tests", now_us=2)
    assert (again.new, again.updated, again.refused) == (0, 0, 4)
    assert not register_media(store, "000000", now_us=3).changed


def test_a_leading_slash_that_nothing_shows_is_a_missing_object(server: S3Server, tmp_path: Path) -> None:
    bucket = server.make_bucket("unseen")
    Objects.open(bucket).put("d.jpg", jpeg(0))
    server.put("/unseen//c.jpg", "x")
    store = open_store(tmp_path / "store")
    ingest(store, bucket)
    assert (result := register_media(store, "000000", now_us=1)).computed == 1
    assert result.quarantined == 1
    [row] = store.tables.read("quarantine", columns=["uri", "reason"]).to_pylist()
    assert row == {"uri": f"{bucket}/c.jpg", "reason": "missing"}


@pytest.mark.parametrize("most", [1, 100])
def test_a_list_that_cannot_be_read_is_refused_where_a_glob_finds_it(server: S3Server, most: int) -> None:
    bucket = server.make_bucket(f"lists-{most}")
    for name in ("b.jpg", "good.csv", "/odd.csv"):
        server.put(f"/{bucket[5:]}/in/{name}", "file\nb.jpg\n")
    refused = {f"{bucket}/in/b.jpg": False, f"{bucket}/in//odd.csv": True}
    found = list_sources([f"{bucket}/**/*.csv"], Settings())
    assert {item.uri: item.refused is not None for item in found} == refused
    seen = [item for page in round_of(f"{bucket}/**/*.csv", most=most) for item in page.listing]
    assert {item.uri: item.refused is not None for item in seen} == refused
    assert len(seen) == len(refused)


def test_a_row_of_a_list_that_names_one_is_refused(server: S3Server) -> None:
    bucket = server.make_bucket("rows")
    Objects.open(bucket).put("list.jsonl", b'{"file": "a//b.jpg"}\n{"file": "c\\t.jpg"}\n{"file": "d.jpg/"}\n')
    found = list_sources([f"{bucket}/list.jsonl"], Settings())
    assert [(item.refused or "").partition(" in the name")[0] for item in found] == [
        "forbidden: '//'",
        "forbidden: a control character",
        "forbidden: it names no object",
    ]


def test_one_that_is_named_by_itself_is_an_error_that_names_it_and_the_mend() -> None:
    with pytest.raises(IngestError, match=r"cannot read 's3://whole/a//b\.jpg': '//' in the name") as caught:
        list_sources(["s3://whole/a//b.jpg"], Settings())
    assert caught.value.mend == "give it a name without"
    page = look("s3://whole/a//b.jpg", "s3://below/set/b.jpg", most=10)
    assert [item.uri for item in page.listing] == ["s3://below/set/b.jpg"]
    assert "'//' in the name" in page.failures[0]
