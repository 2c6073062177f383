"""Finding media: what is listed, what is said about it, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mmfs.errors import IngestError
from mmfs.ingest import Listed, Listing, list_sources
from mmfs.ingest.folders import Files
from mmfs.ingest.roots import Roots
from mmfs.ingest.rounds import look_page
from mmfs.settings import Settings
from tests.ingest.making import by_uri


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def listing(*uris: Path | str, **settings: object) -> Listing:
    return list_sources([str(uri) for uri in uris], Settings(**settings))


def names(found: Listing) -> list[str]:
    return [item.uri.rpartition("/")[2] for item in found]


def texts(listed: Listed) -> list[str]:
    return [caption.text for caption in listed.captions]


def test_a_folder_gives_its_media_files_sorted_and_counts_the_others(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.MP4", "a/y.png", ".hidden.jpg", ".git/c.jpg", "notes.pdf", "LICENSE"):
        touch(tmp_path / name)
    found = listing(tmp_path)
    assert [item.uri for item in found] == [str(tmp_path / name) for name in ("a/y.png", "a/z.MP4", "b.jpg")]
    assert found.ignored == 2
    assert found.items[0].size_bytes == 1
    assert found.items[0].mtime_us == (tmp_path / "a/y.png").stat().st_mtime_ns // 1000


def test_the_same_file_named_three_ways_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    assert len(listing(tmp_path, tmp_path / "a.jpg", f"file://{tmp_path}/a.jpg", f"{tmp_path}/*.jpg")) == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("*/*.jpg", ["b.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "c.jpg"]),
        ("x/**", ["b.jpg", "b.png", "c.jpg"]),
        ("x/[!b].*", []),
        ("x/?.p*", ["b.png"]),
    ],
)
def test_a_glob_matches_whole_segments(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in ("a.jpg", "x/b.jpg", "x/b.png", "x/y/c.jpg"):
        touch(tmp_path / name)
    assert sorted(names(listing(f"{tmp_path}/{pattern}"))) == expected


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path: Path) -> None:
    touch(tmp_path / "photos[1].jpg")
    assert names(listing(tmp_path / "photos[1].jpg")) == ["photos[1].jpg"]


def test_a_file_named_by_itself_may_have_any_suffix(tmp_path: Path) -> None:
    assert names(listing(touch(tmp_path / "story.txt"), touch(tmp_path / "clip"))) == ["clip", "story.txt"]


@pytest.mark.parametrize(
    "uri", ["nowhere.jpg", "nowhere/", "/dev/zero", "ftp://host/a.jpg", "http://host/a.jpg", "s3://"]
)
def test_what_the_user_names_must_exist_and_be_readable(tmp_path: Path, uri: str) -> None:
    with pytest.raises(IngestError) as caught:
        listing(uri)
    assert uri.rstrip("/").rpartition("/")[2] in str(caught.value)
    assert caught.value.mend


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))

    def cell(value: object) -> str:
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [",".join(columns), *(",".join(cell(row.get(name)) for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    rows = [{name: json.dumps(value) if name == "attributes" else value for name, value in row.items()} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


Writer = Callable[[Path, list[dict[str, object]]], Path]
WRITERS = pytest.mark.parametrize(
    ("write", "suffix"), [(write_csv, "csv"), (write_jsonl, "jsonl"), (write_parquet, "parquet")]
)


@WRITERS
def test_a_list_names_files_and_states_what_is_known_of_them(tmp_path: Path, write: Writer, suffix: str) -> None:
    touch(tmp_path / "photos/a.jpg")
    rows: list[dict[str, object]] = [
        {
            "file": "photos/a.jpg",
            "captions": ["a dog", "a brown dog"],
            "language": "en",
            "license": "CC0-1.0",
            "author": "Ada",
            "attributes": {"tags": ["x", "y"]},
            "camera": "K1",
        },
        {"file": "photos/a.jpg", "captions": ["ein Hund"], "language": "de"},
    ]
    (listed,) = listing(write(tmp_path / f"list.{suffix}", rows))
    assert listed.uri == str(tmp_path / "photos/a.jpg")
    assert [(c.text, c.source, c.language) for c in listed.captions] == [
        ("a dog", "list", "en"),
        ("a brown dog", "list", "en"),
        ("ein Hund", "list", "de"),
    ]
    assert (listed.licence, listed.creator) == ("CC0-1.0", "Ada")
    assert listed.attributes == {"tags": ["x", "y"], "camera": "K1"}
    assert listed.size_bytes == 1


@WRITERS
def test_names_and_texts_are_data_whatever_they_hold(tmp_path: Path, write: Writer, suffix: str) -> None:
    odd = ["new\nline.jpg", "a,b;\"c'.jpg", "<img src=x onerror=alert(1)>.jpg", "$(rm -rf ~).jpg", "ümläut 猫.jpg"]
    for name in odd:
        touch(tmp_path / name.replace("/", "_"))
    rows: list[dict[str, object]] = [{"path": name, "caption": f"</td>'; DROP TABLE {name}"} for name in odd]
    found = by_uri(listing(write(tmp_path / f"list.{suffix}", rows)))
    assert sorted(found) == sorted(odd)
    assert all(item.refused is None and item.size_bytes == 1 for item in found.values())
    assert texts(found[odd[0]]) == [f"</td>'; DROP TABLE {odd[0]}"]


def test_a_name_that_is_no_utf8_becomes_a_file_uri(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff.jpg"
    with open(raw, "wb") as file:
        file.write(b"x")
    (listed,) = listing(tmp_path)
    assert listed.uri == f"file://{tmp_path}/%FF.jpg"
    assert listing(listed.uri).items == [listed]


def test_half_a_surrogate_pair_in_json_is_spelled_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "l.jsonl").write_text('{"file": "a.jpg", "caption": "\\ud83d", "k": ["\\ud83d"]}\n')
    (listed,) = listing(tmp_path / "l.jsonl")
    assert texts(listed) == ["\\ud83d"]
    json.dumps(listed.attributes).encode()


def test_values_that_json_cannot_hold_become_null_or_text(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    table = pa.table(
        {"file": ["a.jpg"], "score": [float("nan")], "day": pa.array([0], pa.date32()), "thumb": [b"\xff"]}
    )
    pq.write_table(table, tmp_path / "l.parquet")
    (listed,) = listing(tmp_path / "l.parquet")
    assert listed.attributes == {"score": None, "day": "1970-01-01"}


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    [
        ("l.csv", b"", "l.csv", "empty"),
        ("l.csv", b"a,b\n1,2\n", "l.csv, row 1", "no column names the file"),
        ("l.csv", b"file,file\na.jpg,b.jpg\n", "l.csv", "'file' comes twice"),
        ("l.csv", b"file\na.jpg\nb.jpg,x\n", "l.csv, row 2", "2 cells under 1 names"),
        ("l.csv", b"file\na.jpg\n\xff.jpg\n", "l.csv, row", "is no CSV"),
        ("l.csv", b'file\n"a.jpg', "l.csv, row 1", "is no CSV"),
        ("l.csv", b"file,attributes\na.jpg,{x\n", "l.csv, row 1", "attributes are no JSON"),
        ("l.csv", b"file,attributes\na.jpg,[1]\n", "l.csv, row 1", "attributes are a JSON list"),
        ("l.jsonl", b'{"file": "a.jpg"}\n{"file": \n', "l.jsonl, row 2", "is no JSON"),
        ("l.jsonl", b"[1]\n", "l.jsonl, row 1", "is a JSON list"),
        ("l.jsonl", b"[" * 100_000 + b"\n", "l.jsonl, row 1", "is no JSON"),
        ("l.jsonl", b'{"file": "a.jpg", "caption": 7}\n', "l.jsonl, row 1", "a caption is int"),
        ("l.parquet", b"PAR1 nothing", "l.parquet, row 1", "is no Parquet"),
    ],
)
def test_a_malformed_list_names_file_and_row(tmp_path: Path, name: str, content: bytes, where: str, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IngestError, match=what) as caught:
        listing(tmp_path / name)
    assert where in str(caught.value.where)


def test_bad_rows_do_not_stop_the_good_ones(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    touch(inside / "good.jpg")
    touch(outside / "secret.jpg")
    (inside / "link.jpg").symlink_to(outside / "secret.jpg")
    os.mkfifo(inside / "pipe.jpg")
    rows: list[dict[str, object]] = [
        {"uri": uri}
        for uri in (
            "../out/secret.jpg",
            str(outside / "secret.jpg"),
            "link.jpg",
            "pipe.jpg",
            "/dev/zero",
            "http://localhost/a.jpg",
            "https://host/a.jpg",
            "ftp://host/a.jpg",
            "s3://bucket/a.jpg",
            "file://elsewhere/a.jpg",
            "a\0b.jpg",
            ".",
            "good.jpg",
        )
    ]
    found = listing(write_jsonl(inside / "l.jsonl", rows))
    refused = {item.uri: item.refused for item in found if item.refused}
    assert [item.uri for item in found if not item.refused] == [str(inside / "good.jpg")]
    assert len(refused) == len(rows) - 2  # two rows name the same secret
    assert all(reason and reason.startswith("forbidden: ") for reason in refused.values())


def test_a_missing_file_and_a_row_without_a_name_are_listed_so_that_they_reach_quarantine(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"file": "gone.jpg", "caption": "x"}, {"file": "", "caption": "y"}]
    found = listing(write_csv(tmp_path / "l.csv", rows))
    missing, nameless = sorted(found, key=lambda item: "#" in item.uri)
    assert (missing.uri, missing.size_bytes, missing.refused) == (str(tmp_path / "gone.jpg"), None, None)
    assert nameless.uri == f"{tmp_path}/l.csv#row=2"
    assert nameless.refused == "unsupported: the row names no file"


def test_media_roots_and_named_folders_open_places_for_lists(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.jpg")
    (tmp_path / "lists").mkdir()
    rows: list[dict[str, object]] = [{"url": str(tmp_path / "elsewhere/a.jpg")}, {"url": "s3://bucket/x/a.jpg"}]
    written = write_csv(tmp_path / "lists/l.csv", rows)
    roots = (str(tmp_path / "elsewhere"), "s3://bucket/x")
    assert [item.refused for item in listing(written, media_roots=roots)] == [None, None]
    refused = [item.uri for item in listing(written, tmp_path / "elsewhere") if item.refused]
    assert refused == ["s3://bucket/x/a.jpg"]


def test_a_root_opens_no_neighbour_of_the_same_beginning(tmp_path: Path) -> None:
    touch(tmp_path / "media-private/a.jpg")
    (tmp_path / "media").mkdir()
    written = write_csv(tmp_path / "media/l.csv", [{"uri": "../media-private/a.jpg"}])
    (listed,) = listing(written)
    assert listed.refused is not None


def test_http_is_listed_only_when_it_is_allowed(tmp_path: Path) -> None:
    written = write_csv(tmp_path / "l.csv", [{"url": "https://host/a.jpg"}, {"url": "https://me:secret@host/b.jpg"}])
    found = listing(written, allow_http=True)
    assert [item.refused is None for item in found] == [True, False]
    assert names(listing("https://host/c.jpg", allow_http=True)) == ["c.jpg"]


def test_links_in_a_folder_lead_only_where_it_is_allowed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    real = touch(inside / "real.jpg")
    secret = touch(outside / "secret.jpg")
    (inside / "same.jpg").symlink_to(real)
    (inside / "secret.jpg").symlink_to(secret)
    (inside / "secret.txt").symlink_to("/etc/hostname")
    (inside / "broken.jpg").symlink_to(inside / "nowhere.jpg")
    (inside / "loop").symlink_to(inside)
    found = listing(inside)
    assert {item.uri: item.refused is None for item in found} == {
        str(real): True,
        str(inside / "nowhere.jpg"): True,  # ends in quarantine as missing
        str(inside / "secret.jpg"): False,
    }
    assert [warning for warning in found.warnings if "loop" in warning]
    assert not any(item.captions for item in found)
    allowed = listing(inside, media_roots=(str(outside),))
    assert [item.refused for item in allowed if item.uri == str(secret)] == [None]


def test_a_list_that_needs_too_much_memory_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 1099511627776 failed")

    touch(tmp_path / "in/a.jpg")
    write_parquet(tmp_path / "l.parquet", [{"file": "in/a.jpg"}])
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fail)
    with pytest.raises(IngestError, match=r"needs more memory than there is .*l\.parquet, row 1"):
        listing(tmp_path / "l.parquet")
    settings = Settings.model_construct(watch_page_files=10)
    page = look_page([str(tmp_path / "l.parquet"), str(tmp_path / "in")], settings, None, now_us=4_000_000_000_000_000)
    assert [item.uri for item in page.listing] == [str(tmp_path / "in/a.jpg")]
    assert "needs more memory" in page.failures[0]


def test_a_linked_list_that_leads_elsewhere_in_the_next_page_is_not_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    touch(inside / "a.jpg")
    for folder, text in ((inside, "public"), (outside, "secret")):
        folder.mkdir(exist_ok=True)
        (folder / "list.txt.csv").write_text(f"file,caption\n{inside / 'a.jpg'},{text}\n")
    (inside / "link.csv").symlink_to(inside / "list.txt.csv")
    settings = Settings.model_construct(watch_page_files=3)
    first = look_page([str(inside / "li*.csv")], settings, None, now_us=4_000_000_000_000_000)
    assert '"link.csv", 0' in first.cursor
    (inside / "link.csv").unlink()
    (inside / "link.csv").symlink_to(outside / "list.txt.csv")
    second = look_page([str(inside / "li*.csv")], settings, first.cursor, now_us=4_000_000_000_000_000)
    assert "is not read: forbidden: outside the sources" in second.failures[0]
    assert {caption.text for item in second.listing for caption in item.captions} <= {"public"}


def test_a_glob_reads_linked_lists_only_where_it_is_allowed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    touch(inside / "a.jpg")
    touch(outside / "b.jpg")
    (outside / "secret.csv").write_text("file,caption\na.jpg,secret\nb.jpg,secret\n")
    (inside / "link.csv").symlink_to(outside / "secret.csv")
    for found in (listing(inside / "*"), _looked_at(inside / "*")):
        assert {item.uri: item.refused is None for item in found} == {
            str(inside / "a.jpg"): True,
            str(inside / "link.csv"): False,
        }
        assert not any(item.captions for item in found)
    for found in (listing(inside / "*", media_roots=(str(outside),)), _looked_at(inside / "*", str(outside))):
        assert [item.uri for item in found if item.captions] == [str(outside / "a.jpg"), str(outside / "b.jpg")]


def _looked_at(uri: Path, *media_roots: str) -> list[Listed]:
    """What the pages of a round list, an entry at a time."""
    settings = Settings.model_construct(watch_page_files=1, media_roots=media_roots)
    pages = [look_page([str(uri)], settings, None, now_us=4_000_000_000_000_000)]
    while not pages[-1].ends_round:
        pages.append(look_page([str(uri)], settings, pages[-1].cursor, now_us=4_000_000_000_000_000))
    assert not any(page.failures for page in pages)
    return [item for page in pages for item in page.listing]


def test_sidecars_speak_about_the_file_of_their_stem(tmp_path: Path) -> None:
    touch(tmp_path / "ball.jpg")
    (tmp_path / "ball.txt").write_text("a red ball\n\n  a ball \n")
    (tmp_path / "ball.json").write_text('{"caption": "ein Ball", "language": "de", "license": "CC0", "lens": 50}')
    touch(tmp_path / "other.txt")
    found = listing(tmp_path)
    (listed,) = found
    assert [(c.text, c.source, c.language) for c in listed.captions] == [
        ("a red ball", "sidecar", None),
        ("a ball", "sidecar", None),
        ("ein Ball", "sidecar", "de"),
    ]
    assert (listed.licence, listed.attributes) == ("CC0", {"lens": 50})
    assert found.ignored == 1
    assert listing(tmp_path / "ball.jpg").items == [listed]


def test_a_text_file_is_not_its_own_sidecar(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("once upon a time")
    (listed,) = listing(tmp_path / "story.txt")
    assert listed.captions == ()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"7", b"x" * (1 << 21), b'{"caption": 7}', b"[" * 100_000])
def test_a_bad_sidecar_warns_and_loses_no_media(tmp_path: Path, content: bytes) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_bytes(content)
    found = listing(tmp_path)
    assert names(found) == ["a.jpg"]
    assert len(found.warnings) == 1
    assert "a.json" in found.warnings[0]


@pytest.mark.parametrize("place", ["photos", "."])
def test_a_folders_list_in_it_or_above_it_supplies_captions(tmp_path: Path, place: str) -> None:
    touch(tmp_path / "photos/a.jpg")
    touch(tmp_path / "videos/b.mp4")
    relative = "" if place == "photos" else "photos/"
    rows: list[dict[str, object]] = [
        {"file": f"{relative}a.jpg", "caption": "a dog"},
        {"file": f"{tmp_path}/videos/b.mp4", "caption": "not asked for"},
        {"file": f"{relative}gone.jpg", "caption": "gone"},
    ]
    write_csv(tmp_path / place / "captions.csv", rows)
    found = listing(tmp_path / "photos")
    assert [(item.uri, texts(item)) for item in found] == [(f"{tmp_path}/photos/a.jpg", ["a dog"])]
    assert found.ignored == 0
    assert "1 rows name files that do not exist, first row 3" in found.warnings[0]


def test_a_list_above_two_named_folders_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos/a.jpg", "videos/b.mp4"):
        touch(tmp_path / name)
    write_csv(tmp_path / "captions.csv", [{"file": "photos/a.jpg", "caption": "x"}, {"file": "videos/b.mp4"}])
    opened: list[str] = []
    really_open = Files.open

    def counting(self: Files, location: str) -> object:
        opened.append(location)
        return really_open(self, location)

    monkeypatch.setattr(Files, "open", counting)
    assert len(listing(tmp_path / "photos", tmp_path / "videos", tmp_path / "captions.csv")) == 2
    assert opened == [str(tmp_path / "captions.csv")]


def test_a_metadata_file_of_another_program_is_left_alone_but_captions_must_name_files(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    write_csv(tmp_path / "metadata.csv", [{"id": "1", "score": "2"}])
    assert len(listing(tmp_path)) == 1
    write_csv(tmp_path / "captions.csv", [{"id": "1", "score": "2"}])
    with pytest.raises(IngestError, match="no column names the file"):
        listing(tmp_path)


def test_a_list_in_a_glob_is_a_list(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    write_csv(tmp_path / "one.csv", [{"file": "a.jpg"}])
    assert names(listing(f"{tmp_path}/*.csv")) == ["a.jpg"]
    assert names(listing(f"{tmp_path}/*")) == ["a.jpg"]


PIECES = st.lists(st.sampled_from(["..", ".", "a", "link", "out", "", "b.jpg", "%2e%2e", "~"]), min_size=1, max_size=6)


@given(PIECES, st.sampled_from(["", "/", "file://", "file:///"]))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_reference_leads_out_of_the_roots(tmp_path: Path, pieces: list[str], start: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True, exist_ok=True)
    (tmp_path / "out").mkdir(exist_ok=True)
    if not (root / "link").is_symlink():
        (root / "link").symlink_to(tmp_path / "out")
    found = Roots.of([str(root)]).resolve(start + "/".join(pieces), str(root / "a"))
    if found.refused is None:
        assert os.path.realpath(found.location).startswith(f"{root}/")
