"""Media in buckets. A folder stands for the bucket here: the module of objects treats both alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfs.errors import IngestError, StoreError
from mmfs.ingest import assign, build_captions, build_frames, list_sources, register_media
from mmfs.settings import Settings
from mmfs.store import Objects
from mmfs.store.objects_local import LocalObjects
from tests.ingest.making import ingest, open_store, photo


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos with captions under s3://bucket/set, served from a folder."""
    really_open = Objects.open

    def open_objects(url: str | Path) -> Objects:
        text = str(url)
        return LocalObjects(tmp_path / "s3" / text[5:]) if text.startswith("s3://") else really_open(url)

    monkeypatch.setattr(Objects, "open", open_objects)
    root = tmp_path / "s3/bucket"
    photo(root / "set/photos/a.jpg", 1)
    photo(root / "set/photos/b.jpg", 2)
    photo(root / "set/photos/.hidden/c.jpg", 3)
    photo(root / "other/d.jpg", 4)
    (root / "set/photos/a.txt").write_text("a sidecar\n")
    (root / "set/photos/notes.md").write_text("no media")
    (root / "set/captions.csv").write_text(
        "file,caption\nphotos/b.jpg,from the list\n../other/d.jpg,x\ns3://bucket/other/d.jpg,y\n"
    )
    return root


def test_a_prefix_is_listed_like_a_folder(bucket: Path) -> None:
    found = list_sources(["s3://bucket/set/photos"], Settings())
    assert [(item.uri, [caption.text for caption in item.captions]) for item in found] == [
        ("s3://bucket/set/photos/a.jpg", ["a sidecar"]),
        ("s3://bucket/set/photos/b.jpg", ["from the list"]),
    ]
    assert found.ignored == 1
    assert all(item.size_bytes and item.mtime_us for item in found)


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://bucket/set/photos/b.jpg", ["b.jpg"]),
        ("s3://bucket/*/*.jpg", ["d.jpg"]),
        ("s3://bucket/**/[ad].jpg", ["d.jpg", "a.jpg"]),
    ],
)
def test_objects_and_globs_in_buckets(bucket: Path, uri: str, names: list[str]) -> None:
    assert [item.uri.rpartition("/")[2] for item in list_sources([uri], Settings())] == names


def test_a_list_in_a_bucket_opens_its_own_prefix_only(bucket: Path) -> None:
    found = list_sources(["s3://bucket/set/captions.csv"], Settings())
    assert {item.uri: item.refused is None for item in found} == {
        "s3://bucket/set/photos/b.jpg": True,
        "s3://bucket/set/../other/d.jpg": False,
        "s3://bucket/other/d.jpg": False,
    }
    (bucket / "set/odd.csv").write_text("file\nphotos//b.jpg\n./photos/b.jpg\n")
    odd = list_sources(["s3://bucket/set/odd.csv"], Settings())
    assert [(item.refused or "").partition(":")[0] for item in odd] == ["forbidden"] * 2
    allowed = list_sources(["s3://bucket/set/captions.csv"], Settings(media_roots=("s3://bucket/other",)))
    assert "s3://bucket/other/d.jpg" in [item.uri for item in allowed if item.refused is None]


def test_objects_are_read_once_and_leave_nothing_behind(bucket: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    ingest(store, "s3://bucket/set/photos")
    assert register_media(store, "000000", now_us=1).computed == 2
    assert build_frames(store, "000000").computed == 2
    assert build_captions(store, "000000").rows == 2
    assert store.tables.read("sources").column("uri").to_pylist()[0].startswith("s3://bucket/set/photos/")


def test_a_missing_object_is_quarantined_but_an_unreachable_bucket_is_an_error(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    ingest(store, "s3://bucket/set/photos")
    (bucket / "set/photos/a.jpg").unlink()
    register_media(store, "000000", now_us=1)
    assert store.tables.read("quarantine").column("reason").to_pylist() == ["missing"]

    def unreachable(*_: object) -> bool:
        raise StoreError("no route to host", mend="check the endpoint")

    monkeypatch.setattr(LocalObjects, "exists", unreachable)
    assign(store, list_sources(["s3://bucket/other"], store.settings), added_by="tests", now_us=2)
    with pytest.raises(StoreError, match="no route"):
        register_media(store, "000000", now_us=3)
    assert store.tables.read("quarantine").num_rows == 1


@pytest.mark.parametrize("uri", ["s3://bucket/set/gone.jpg", "s3://*/x", "s3://bucket/../x"])
def test_what_is_no_place_in_a_bucket_is_an_error(bucket: Path, uri: str) -> None:
    with pytest.raises(IngestError):
        list_sources([uri], Settings())
