"""Watched buckets that stall or refuse: each is told of, and the other places are looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mmfs.ingest import list_sources
from mmfs.ingest.rounds import Page, look_page
from mmfs.settings import Settings
from mmfs.store import Objects
from tests.s3 import Fault, S3Server, s3_server

#: After the time of any object here.
NOW_US = 4_000_000_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found:
        for bucket in ("stalled", "twice"):
            found.make_bucket(bucket)
        yield found


@pytest.fixture(autouse=True)
def _at(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.use(monkeypatch)
    server.count_anew()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/local.jpg").touch()
    return tmp_path / "in"


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with a list, and files with sidecars and a list of their own; it is waited for two seconds."""
    monkeypatch.setattr("mmfs.ingest.rounds._BUCKET_S", 2.0)
    objects = Objects.open("s3://stalled")
    objects.put("list.csv", b"file\nset/a.mp4\nset/b.mp4\n")
    objects.put("set/captions.csv", b"file,caption\na.mp4,from the list\n")
    for name in ("a", "b"):
        objects.put(f"set/{name}.mp4", b"x")
        objects.put(f"set/{name}.txt", b"from the sidecar")
    return "s3://stalled"


def look(*uris: object, cursor: str | None = None, most: int = 100, seconds: float = 60.0) -> Page:
    settings = Settings.model_construct(watch_page_files=most)
    return look_page([str(uri) for uri in uris], settings, cursor, now_us=NOW_US, seconds=seconds)


def names(page: Page) -> list[str]:
    return [item.uri.rpartition("/")[2] for item in page.listing]


@pytest.mark.parametrize("fault", ["stall", "stall-in-body", "503"])
def test_a_bucket_without_answers_is_waited_for_once_a_page_and_the_folder_behind_it_is_looked_at(
    server: S3Server, stalled: str, local: Path, fault: Fault
) -> None:
    server.break_reads(1.0, fault, only="/stalled")
    began_s = time.monotonic()
    page = look(f"{stalled}/list.csv", f"{stalled}/set/a.mp4", f"{stalled}/set", local)
    assert time.monotonic() - began_s < 30
    assert page.ends_round
    assert names(page) == ["local.jpg"]
    assert ["s3://stalled" in failure for failure in page.failures] == [True] * 3


def test_a_folders_list_that_stalls_is_told_of_and_the_files_are_taken(
    server: S3Server, stalled: str, local: Path
) -> None:
    server.break_reads(1.0, "stall", only="set/captions.csv")
    began_s = time.monotonic()
    page = look(f"{stalled}/set", local)
    assert time.monotonic() - began_s < 30
    assert sorted(names(page)) == ["a.mp4", "b.mp4", "local.jpg"]
    assert "captions.csv could not be read within 2 s" in page.failures[0]


def test_a_sidecar_that_stalls_is_told_of_and_read_in_the_next_round(
    server: S3Server, stalled: str, local: Path
) -> None:
    server.break_reads(1.0, "stall", only="b.txt")
    page = look(f"{stalled}/set", local)
    assert page.ends_round
    assert names(page) == ["local.jpg", "a.mp4"]
    assert "set/b.txt could not be read" in page.failures[0]
    server.count_anew()
    page = look(f"{stalled}/set", local, cursor=page.cursor)
    assert {item.uri[-5:]: len(item.captions) for item in page.listing} == {"b.mp4": 1, "l.jpg": 0}


def test_an_object_that_never_answers_keeps_back_none_of_those_behind_it(
    server: S3Server, stalled: str, local: Path
) -> None:
    for name in ("a.mp4", "b.mp4", "b.txt", "c.mp4", "d.mp4", "d.txt"):
        Objects.open(stalled).put(f"behind/{name}", b"x")
    server.break_reads(1.0, "stall", only="b.txt")
    first = look(f"{stalled}/behind", local)
    second = look(f"{stalled}/behind", local, cursor=first.cursor)
    assert (names(first), names(second)) == (["local.jpg", "a.mp4"], ["local.jpg", "c.mp4"])
    third = look(f"{stalled}/behind", local, cursor=second.cursor)
    assert names(third) == ["local.jpg", "d.mp4"]
    assert ["behind/b.txt could not be read" in str(page.failures) for page in (first, second, third)] == [1, 1, 0]
    server.count_anew()
    assert "b.mp4" in names(look(f"{stalled}/behind", local, cursor=third.cursor)), "it is asked about in each round"


def test_a_folders_list_that_never_answers_keeps_back_no_file(server: S3Server, stalled: str, local: Path) -> None:
    for name in ("a.json", "a.mp4", "b.json", "b.mp4", "c.json", "c.mp4"):
        Objects.open(stalled).put(f"pairs/{name}", b"{}")
    found: list[str] = []
    page = None
    for _ in range(4):
        server.break_reads(1.0, "stall", only="/stalled/captions.csv")  # above the prefix
        page = look(f"{stalled}/pairs", local, most=3, cursor=page and page.cursor)
        found += names(page)
    assert {"a.mp4", "b.mp4", "c.mp4", "local.jpg"} <= set(found)


def test_lists_of_many_folders_that_never_answer_are_waited_for_once_a_page(
    server: S3Server, stalled: str, local: Path
) -> None:
    for name in ("a.mp4", "x/b.mp4", "x/y/c.mp4", "x/y/c.txt"):
        Objects.open(stalled).put(f"deep/down/{name}", b"a text")
    (local / "captions.csv").write_text("file,caption\nlocal.jpg,a caption\n")
    server.break_reads(1.0, "stall", only="captions")  # in all folders, there or not
    page = look(f"{stalled}/deep/down", local)
    assert names(page) == ["local.jpg", "a.mp4", "b.mp4", "c.mp4"]
    assert len(page.failures) == 1
    assert any("deep/down/x: no look for lists of captions" in warning for warning in page.listing.warnings)
    [listed] = [item for item in page.listing if item.uri.endswith("local.jpg")]
    assert listed.captions, "lists of other places are read"


def test_a_list_and_a_sidecar_that_never_answer_take_the_page_and_no_file_behind_them(
    server: S3Server, stalled: str
) -> None:
    for name in ("a.mp4", "a.txt", "b.mp4", "c.mp4"):
        Objects.open(stalled).put(f"both/{name}", b"a text")
    found: list[str] = []
    page = None
    for _ in range(2):
        server.break_reads(1.0, "stall", only="/stalled/")  # objects, and not the list of them
        page = look(f"{stalled}/both", seconds=3.9, cursor=page and page.cursor)
        found += names(page)
    assert {"b.mp4", "c.mp4"} <= set(found)


def test_a_page_that_begins_to_wait_at_its_end_still_ends_in_time(server: S3Server, stalled: str, local: Path) -> None:
    server.break_reads(1.0, "stall", only="/stalled")
    began_s = time.monotonic()
    first = look(f"{stalled}/list.csv", local / "local.jpg", seconds=0)
    assert time.monotonic() - began_s < 30
    assert names(look(f"{stalled}/list.csv", local / "local.jpg", seconds=0, cursor=first.cursor)) == ["local.jpg"]


def test_a_long_list_of_a_bucket_is_read_in_large_parts(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfs.ingest.rounds._BUCKET_S", 60.0)
    lines = b"".join(b"n/%099d.mp4\n" % number for number in range(30_000))
    Objects.open("s3://twice").put("list.csv", b"file\n" + lines)
    server.count_anew()
    assert look("s3://twice/list.csv", most=100_000).looked == 30_000
    assert server.counts().requests["/twice/list.csv"] == 4


@pytest.mark.parametrize(
    ("uri", "refusal", "said"),
    [
        ("s3://no-such-bucket", None, "there is no bucket no-such-bucket"),
        ("s3://stalled", {"status": 400, "code": "Bad"}, "bucket stalled does not understand the request"),
        ("s3://stalled", {"status": 301, "code": "PermanentRedirect"}, "bucket stalled is in another region"),
        ("s3://stalled/set/a.mp4", {"status": 403}, "bucket stalled may not be read"),
    ],
)
def test_a_bucket_that_refuses_is_named_at_once(
    server: S3Server, local: Path, uri: str, refusal: dict[str, object] | None, said: str
) -> None:
    if refusal:
        server.refuse("/stalled", **refusal)  # type: ignore[arg-type]
    began_s = time.monotonic()
    page = look(uri, local)
    assert time.monotonic() - began_s < 30
    assert said in page.failures[0]
    assert names(page) == ["local.jpg"]


def round_of(*uris: str, most: int) -> Sequence[Page]:
    found: list[Page] = []
    while not (found and found[-1].ends_round):
        found.append(look(*uris, most=most, cursor=found[-1].cursor if found else None))
        assert len(found) < 50, "the round does not end"
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_round_ends_where_programs_have_put_markers_for_folders(server: S3Server, most: int) -> None:
    bucket = server.make_bucket(f"markers-{most}")
    for name in ("", "clips-1.mp4", "clips-2.mp4", "clips/", "clips/a.mp4", "empty/", "z.mp4"):
        server.put(f"/{bucket[5:]}/set/{name}", "x")
    found = [name for page in round_of(f"{bucket}/set", most=most) for name in names(page)]
    assert found == ["clips-1.mp4", "clips-2.mp4", "a.mp4", "z.mp4"]


def test_an_object_named_beside_its_prefix_has_one_state(server: S3Server) -> None:
    Objects.open("s3://twice").put("set/a.mp4", b"x")
    marks = {list_sources([uri], Settings()).items[0].mark for uri in ("s3://twice/set", "s3://twice/set/a.mp4")}
    assert len(marks) == 1
    assert "None" not in marks.pop()
