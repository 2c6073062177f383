"""Files that vanish between listing and reading, here and in buckets; and that they are noticed when they are back."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from mmfs.errors import NoAnswerError, UnreachableError
from mmfs.ingest import list_sources, register_media
from mmfs.ingest.outlook import Outlook
from mmfs.ingest.returned import returned_files
from mmfs.store import Objects, Store
from mmfs.store.objects_local import LocalObjects
from tests.ingest.making import ingest, open_store, photo

SHARD = "000000"
STEP = ("raw_media", SHARD)


@pytest.fixture(params=["local", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A folder with three photos, and the URI to list it by; it stands for a bucket, too."""
    folder = tmp_path / "s3" / "bucket"
    for number in range(3):
        photo(folder / f"{number}.jpg", number)
    if request.param == "local":
        return folder, str(folder)
    really_open = Objects.open

    def open_objects(url: str | Path) -> Objects:
        text = str(url)
        return LocalObjects(tmp_path / "s3" / text[5:]) if text.startswith("s3://") else really_open(url)

    monkeypatch.setattr(Objects, "open", open_objects)
    return folder, "s3://bucket"


def _to_read(store: Store) -> int:
    return Outlook(store).of(SHARD)["raw_media"].reads.files


@pytest.mark.parametrize("away", [{"1.jpg"}, {"0.jpg", "1.jpg", "2.jpg"}])
def test_what_vanished_is_quarantined_and_read_when_it_is_back(
    place: tuple[Path, str], tmp_path: Path, away: set[str]
) -> None:
    folder, uri = place
    store = open_store(tmp_path / "store")
    ingest(store, uri)
    (tmp_path / "aside").mkdir()
    for name in away:
        shutil.move(folder / name, tmp_path / "aside" / name)

    report = register_media(store, SHARD, now_us=2)
    assert (report.rows, report.quarantined) == (3 - len(away), len(away))
    rows = store.tables.read("quarantine", shard=SHARD).to_pylist()
    assert {row["uri"].rpartition("/")[2] for row in rows} == away
    assert {(row["reason"], row["message"].partition(" (")[0]) for row in rows} <= {
        ("missing", "there is no such file"),
        ("missing", "there is no such object"),
    }
    assert returned_files(store) == {}
    assert _to_read(store) == 0, "what is away is no work"

    for name in away:
        shutil.move(tmp_path / "aside" / name, folder / name)  # the same bytes, time and size: listed as before
    before = store.tables.version("listings")
    ingest(store, uri, now_us=3)
    assert store.tables.version("listings") == before
    assert {uri.rpartition("/")[2] for uri in returned_files(store)[STEP]} == away
    assert _to_read(store) == len(away)
    assert register_media(store, SHARD, now_us=4).rows == 3
    assert returned_files(store) == {}
    assert store.tables.read("quarantine", shard=SHARD).num_rows == 0


def test_a_store_without_failures_and_addresses_of_the_web_have_nothing_returned(tmp_path: Path) -> None:
    assert returned_files(open_store(tmp_path / "new")) == {}
    store = open_store(tmp_path / "store", allow_http=True)
    lines = tmp_path / "list.csv"
    lines.write_text("url\nhttp://127.0.0.1:9/a.jpg\n")
    assert len(list(list_sources([str(lines)], store.settings))) == 1
    ingest(store, lines)
    register_media(store, SHARD, now_us=2)
    assert store.tables.read("quarantine", shard=SHARD).num_rows == 1
    assert returned_files(store) == {}


def test_a_bucket_that_cannot_be_asked_is_asked_once_and_a_silent_one_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    rows = [
        {"uri": f"s3://{bucket}/{number}.jpg", "stage": stage, "reason": "missing", "mark": "x"}
        for bucket in ("dead", "forbidden", "live")
        for number in range(200)
        for stage in ("raw_media", "frames")
    ]
    schema = store.tables.read("quarantine", shard=SHARD).drop_columns("shard").schema
    given = [{"message": "", "library_versions": "{}", "attempts": 1, "at_us": 1, **row} for row in rows]
    store.tables.update("quarantine", SHARD, lambda _: pa.Table.from_pylist(given, schema=schema))
    opened: list[str] = []
    asked: list[str] = []

    class Bucket(LocalObjects):
        def exists(self, path: str) -> bool:
            asked.append(f"{self.url}/{path}")
            if "dead" in self.url:
                raise NoAnswerError("no answer in 10 s", mend="check the network")
            if "forbidden" in self.url:
                raise UnreachableError("the bucket may not be read", mend="allow it")
            return super().exists(path)

    def open_objects(url: str | Path) -> Objects:
        opened.append(str(url))
        return Bucket(tmp_path / str(url)[5:])

    (tmp_path / "live").mkdir()
    (tmp_path / "live/7.jpg").touch()
    now_s = 1000.0
    monkeypatch.setattr(Objects, "open", open_objects)
    monkeypatch.setattr("mmfs.ingest.returned._silent", {})
    monkeypatch.setattr("mmfs.ingest.returned.time", SimpleNamespace(monotonic=lambda: now_s))

    def ask() -> dict[str, int]:
        asked.clear()
        opened.clear()
        assert returned_files(store) == {(step, SHARD): ["s3://live/7.jpg"] for step in ("frames", "raw_media")}
        assert len(opened) == len(set(opened))
        return dict(Counter(url.split("/")[-2] for url in asked))

    assert ask() == {"dead": 1, "forbidden": 1, "live": 200}
    now_s += 50  # the next plan of the same command need not wait for it
    assert ask() == {"forbidden": 1, "live": 200}
    now_s += 50
    assert ask() == {"dead": 1, "forbidden": 1, "live": 200}
