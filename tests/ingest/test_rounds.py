"""Watched places, a page at a time: a round shows what one listing would, and waits for what may still grow."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mmfs.errors import StoreError
from mmfs.ingest import list_sources
from mmfs.ingest.listed import Listed, merge_listed
from mmfs.ingest.rounds import Page, look_page
from mmfs.settings import Settings
from mmfs.store import Objects
from mmfs.store.objects_local import LocalObjects

NOW_US = 2_000_000_000_000_000
OLD_S = NOW_US / 1e6 - 3600


def page_settings(most: int, settle_s: float = 30.0) -> Settings:
    return Settings.model_construct(watch_page_files=most, watch_settle_s=settle_s)


def write(path: Path, text: str = "x", at_s: float = OLD_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at_s, at_s))
    return path


def write_rows(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.utime(path, (OLD_S, OLD_S))
    return path


def pages(uris: list[str], most: int, *, cursor: str | None = None, now_us: int = NOW_US) -> list[Page]:
    """The pages of one round."""
    found = []
    while True:
        found.append(look_page(uris, page_settings(most), cursor, now_us=now_us))
        assert len(found) < 500
        cursor = found[-1].cursor
        if found[-1].ends_round:
            return found


def together(found: list[Page]) -> dict[str, Listed]:
    merged: dict[str, Listed] = {}
    for page in found:
        for item in page.listing:
            merged[item.uri] = merge_listed(merged[item.uri], item) if item.uri in merged else item
    return merged


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with sidecars and lists at several heights, and lists of pictures elsewhere."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("a", "b", "sub/a.b", "sub/c", "sub/deep/d", "z/e"):
        write(root / f"media/{name}.jpg")
        write(root / f"media/{name}.txt", f"sidecar of {name}")
    write(root / "media/sub/c.json", '{"licence": "CC0", "caption": "in JSON"}')
    write(root / "media/sub/notes.md")
    (root / "media/sub/link.jpg").symlink_to(root / "media/a.jpg")
    write_rows(root / "captions.csv", {"file": "media/z/e.jpg", "caption": "from above"})
    write_rows(root / "media/captions.csv", *({"file": f"sub/{n}.jpg", "caption": f"list, {n}"} for n in ("c", "link")))
    write_rows(
        root / "media/sub/metadata.csv", {"file": "deep/d.jpg", "caption": "nearer"}, {"file": "x", "caption": ""}
    )
    for number in range(7):
        write(root / f"listed/{number}.jpg")
    rows = [{"file": f"{number}.jpg", "caption": f"row {number}"} for number in range(7)]
    write_rows(root / "listed/one.csv", *rows[:5])
    write_rows(root / "listed/two.csv", *rows[3:])
    return root


@given(most=st.integers(1, 40))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@pytest.mark.parametrize(
    "watched",
    [["media"], ["listed/one.csv", "media/**/*.jpg"], ["listed/*.csv"], ["listed/*", "media/a.jpg", "media/sub"]],
    ids=["folder", "list-and-glob", "lists-by-glob", "mixed"],
)
def test_a_round_in_pages_of_any_size_finds_what_one_listing_finds(tree: Path, watched: list[str], most: int) -> None:
    uris = [str(tree / one) for one in watched]
    found = pages(uris, most)
    assert all(page.looked <= most and page.failures == () for page in found)
    expected = {item.uri: item for item in list_sources(uris, Settings())}
    assert together(found) == expected
    if len(watched) == 1:
        assert sum(len(page.listing) for page in found) >= len(expected)


def test_objects_of_a_bucket_keep_their_sidecars_and_lists_across_pages(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = Objects.open

    def open_objects(url: str | Path) -> Objects:
        return LocalObjects(tree / str(url)[5:]) if str(url).startswith("s3://") else really_open(url)

    monkeypatch.setattr(Objects, "open", open_objects)
    for most in (1, 2, 3, 5, 100):
        for uri in ("s3://media", "s3://listed/*.csv"):
            assert together(pages([uri], most)) == {item.uri: item for item in list_sources([uri], Settings())}


def test_a_page_begins_where_the_last_one_ended_and_the_next_round_at_the_first_place(tree: Path) -> None:
    first = look_page([str(tree / "listed"), str(tree / "media/z")], page_settings(4), None, now_us=NOW_US)
    assert [item.uri[-5:] for item in first.listing] == ["0.jpg", "1.jpg", "2.jpg"]
    assert not first.ends_round
    rest = pages([str(tree / "listed"), str(tree / "media/z")], 100, cursor=first.cursor)
    assert [item.uri[-5:] for item in rest[0].listing] == ["3.jpg", "4.jpg", "5.jpg", "6.jpg", "e.jpg"]
    again = look_page([str(tree / "listed"), str(tree / "media/z")], page_settings(4), rest[-1].cursor, now_us=NOW_US)
    assert again == first


def test_other_places_or_a_garbled_cursor_begin_anew(tree: Path) -> None:
    uris = [str(tree / "listed")]
    first = look_page(uris, page_settings(4), None, now_us=NOW_US)
    assert (
        look_page([*uris, str(tree / "media")], page_settings(4), first.cursor, now_us=NOW_US).listing == first.listing
    )
    sound = json.loads(first.cursor)
    garbled = [{**sound, "v": 2}, {**sound, "place": 1}, {**sound, "begun": {"0": [3, None]}}, {**sound, "place": True}]
    for text in ("", "17", "[]", "{", "null", "nonsense", *map(json.dumps, garbled)):
        assert look_page(uris, page_settings(4), text, now_us=NOW_US) == first


@given(
    text=st.text(max_size=20)
    | st.recursive(
        st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["v", "watch", "place", "begun", "0"]), x),
    ).map(json.dumps)
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_no_cursor_is_too_odd(tree: Path, text: str) -> None:
    assert look_page([str(tree / "media/z")], page_settings(9), text, now_us=NOW_US).ends_round


@pytest.mark.parametrize(("age_s", "waits"), [(0, True), (29, True), (31, False), (-29, True), (-3600, False)])
def test_a_file_that_was_just_written_to_waits_even_if_its_time_lies_ahead_a_little(
    tmp_path: Path, age_s: float, waits: bool
) -> None:
    write(tmp_path / "a.jpg", at_s=NOW_US / 1e6 - age_s)
    [page] = pages([str(tmp_path)], 10)
    assert (len(page.listing), page.waiting) == ((0, 1) if waits else (1, 0))


def test_a_growing_file_is_taken_once_it_has_stopped_though_the_clock_jumps_meanwhile(tmp_path: Path) -> None:
    taken, now_s = [], NOW_US / 1e6
    # Seconds that pass between looks, and by how much the clock is set besides.
    for step, (passed, jump) in enumerate(
        [(10, 0), (10, 0), (10, -3600), (10, 0), (10, 3600), (10, 0), (40, 0), (40, 0)]
    ):
        now_s += passed + jump
        if step < 6:
            write(tmp_path / "a.jpg", "x" * step, at_s=now_s - 1)
        [page] = pages([str(tmp_path)], 10, now_us=int(now_s * 1e6))
        taken += [(step, item.size_bytes) for item in page.listing]
    assert taken == [(6, 5), (7, 5)]


def test_a_file_waits_for_its_sidecar_and_a_list_until_it_is_written(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    write(tmp_path / "a.txt", "half a sent", at_s=NOW_US / 1e6)
    write(tmp_path / "b.jpg")
    write_rows(tmp_path / "captions.csv", {"file": "b.jpg", "caption": "a list"})
    os.utime(tmp_path / "captions.csv", (NOW_US / 1e6, NOW_US / 1e6))
    [early] = pages([str(tmp_path)], 10)
    assert {item.uri[-5:]: len(item.captions) for item in early.listing} == {"b.jpg": 0}
    [later] = pages([str(tmp_path)], 10, now_us=NOW_US + 60_000_000)
    assert {item.uri[-5:]: len(item.captions) for item in later.listing} == {"a.jpg": 1, "b.jpg": 1}


def test_a_place_that_cannot_be_looked_at_is_named_and_the_others_are_looked_at(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str | Path) -> Objects:
        raise StoreError("access denied", where=str(url), mend="check the AWS_* variables")

    monkeypatch.setattr(Objects, "open", refuse)
    uris = [str(tree / "gone"), "s3://secret/x", str(tree / "media/z"), "s3://secret/list.csv", "ftp://host"]
    [page] = pages(uris, 100)
    assert [item.uri for item in page.listing] == [str(tree / "media/z/e.jpg")]
    assert len(page.failures) == 4
    for text, failure in zip(
        ("gone' does not exist", "ftp://", "s3://secret/x: access denied", "s3://secret/list.csv"),
        page.failures,
        strict=True,
    ):
        assert text in failure


def test_a_place_that_fails_in_between_goes_on_from_there_in_the_next_round(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses: list[str] = []

    class Bucket(LocalObjects):
        def page(self, after: str | None = None, *, most: int = 1000):  # type: ignore[no-untyped-def]
            if after and refuses:
                raise StoreError("slow down", mend="wait")
            return super().page(after, most=most)

    monkeypatch.setattr(Objects, "open", lambda url: Bucket(tree / str(url)[5:]))
    uris = ["s3://listed", str(tree / "media/z")]
    first = look_page(uris, page_settings(4), None, now_us=NOW_US)
    refuses.append("now")
    second = look_page(uris, page_settings(4), first.cursor, now_us=NOW_US)
    assert [item.uri[-5:] for item in second.listing] == ["e.jpg"]
    assert "slow down" in second.failures[0]
    assert second.ends_round
    refuses.clear()
    third = look_page(uris, page_settings(4), second.cursor, now_us=NOW_US)
    assert [item.uri[-5:] for item in third.listing] == ["4.jpg", "5.jpg", "6.jpg"]


def test_a_malformed_list_does_not_keep_a_folder_from_being_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    write(tmp_path / "captions.csv", "file,caption\na.jpg,x,y\n")
    write(tmp_path / "b.csv", "file\na.jpg\nb.jpg,1\n")
    [page] = pages([str(tmp_path)], 10)
    assert [item.uri[-5:] for item in page.listing] == ["a.jpg"]
    assert "captions.csv, row 1" in page.failures[0]
    found = pages([f"{tmp_path}/*"], 2)
    assert set(together(found)) == {str(tmp_path / "a.jpg")}
    assert any("b.csv, row 2" in text for page in found for text in page.failures)


def test_a_page_takes_one_thing_at_least_and_no_more_when_its_time_is_over(tree: Path) -> None:
    uris = [str(tree / "media"), str(tree / "listed")]
    cursor, found = None, []
    while not (found and found[-1].ends_round):
        found.append(look_page(uris, page_settings(100), cursor, now_us=NOW_US, seconds=0))
        assert found[-1].failures == ()
        assert len(found[-1].listing) <= 1
        cursor = found[-1].cursor
    assert set(together(found)) == {item.uri for item in list_sources(uris, Settings())}


def test_a_list_whose_next_row_is_not_reached_in_time_is_told_of_and_the_next_place_has_its_turn(tree: Path) -> None:
    uris = [str(tree / "listed/one.csv"), str(tree / "media/z")]
    first = look_page(uris, page_settings(3), None, now_us=NOW_US)
    late = look_page(uris, page_settings(3), first.cursor, now_us=NOW_US, seconds=0)
    assert "row 4 was not reached within 0 s" in late.failures[0]
    assert "one.csv" in late.failures[0]
    [rest] = pages(uris, 100, cursor=late.cursor)
    assert [item.uri[-5:] for item in rest.listing] == ["e.jpg"]


def test_a_folders_list_that_takes_too_long_is_told_of_and_the_files_are_taken(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.ingest.rounds._BUCKET_S", 0.0)
    folder = look_page([str(tree / "media/z")], page_settings(100), None, now_us=NOW_US, seconds=0)
    page = look_page([str(tree / "media/z")], page_settings(100), folder.cursor, now_us=NOW_US, seconds=0)
    assert [item.uri[-5:] for item in page.listing] == ["e.jpg"]
    assert "media/captions.csv, row 1" in page.failures[0]
    assert "not reached in time" in page.failures[0]
