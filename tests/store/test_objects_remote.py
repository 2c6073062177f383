"""Objects of a bucket, over the object-store library's own store in memory: the same promises as a directory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmfs.errors import IntegrityError, StoreError
from mmfs.store import Objects, PackWriter, read_blobs
from mmfs.store.parquet import read_parquet


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Objects:
    obstore = pytest.importorskip("obstore.store")
    memory = obstore.MemoryStore()
    place = "mmfs.store.objects_remote.S3Store.from_url"
    monkeypatch.setattr(place, lambda *_arguments, **_options: memory)
    return Objects.open("s3://bucket/prefix/")


def test_a_bucket_keeps_what_it_is_given(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    objects.put("a/b", bytes(range(100)))
    objects.put("a/c/d", source, consume=True)
    assert not source.exists()
    assert objects.get("a/b") == bytes(range(100))
    assert objects.get_ranges("a/b", [(90, 2), (0, 1)]) == [bytes([90, 91]), b"\0"]
    assert {info.path: info.size_bytes for info in objects.list()} == {"a/b": 100, "a/c/d": 11}
    assert [info.path for info in objects.list("a/c")] == ["a/c/d"]
    assert objects.folders() == ["a"]
    assert objects.folders("a") == ["c"]
    assert objects.size("a/c/d") == 11
    objects.delete("a/b")
    assert not objects.exists("a/b")
    assert objects.local_path("a/b") is None
    assert objects.delta_url("frames") == "s3://bucket/prefix/frames"


def test_pages_follow_one_another_in_the_order_of_names_whatever_comes_and_goes(objects: Objects) -> None:
    for name in ("b/2", "a", "b.txt", "b/1", "c"):
        objects.put(name, b"x")
    first = objects.page(most=2)
    assert [info.path for info in first] == ["a", "b.txt"]
    objects.delete("b.txt")
    objects.put("aa", b"x")
    assert [info.path for info in objects.page("b.txt", most=2)] == ["b/1", "b/2"]
    assert [info.path for info in objects.page("b/2")] == ["c"]
    assert list(objects.page("c")) == []


def test_what_is_missing_or_taken_is_a_store_error(objects: Objects) -> None:
    objects.put("x", b"first", if_absent=True)
    with pytest.raises(StoreError, match="x exists already"):
        objects.put("x", b"second", if_absent=True)
    for read in (objects.get, objects.size, objects.open_file):
        with pytest.raises(StoreError, match="nix does not exist"):
            read("nix")
    with pytest.raises(StoreError, match=r"ends before byte 9|x:"):
        objects.get_ranges("x", [(2, 7)])
    with pytest.raises(StoreError, match="no name inside"):
        objects.get("../x")


def test_packs_and_tables_are_read_by_the_same_code(objects: Objects) -> None:
    with PackWriter(objects, "frames", "000001") as packs:
        packs.add("a.jpg", b"one" * 100)
        packs.add("b.jpg", b"two" * 100)
        refs = packs.finish()
    assert read_blobs(objects, refs[::-1]) == [b"two" * 100, b"one" * 100]
    objects.delete(refs[0].pack)
    with pytest.raises(IntegrityError, match=refs[0].pack):
        read_blobs(objects, refs)

    table = pa.table({"n": list(range(100_000)), "t": ["text"] * 100_000})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1024)
    objects.put("t.parquet", memoryview(sink.getvalue()))
    assert read_parquet(objects, objects.info("t.parquet"), ["t", "n"]).equals(table.select(["t", "n"]))
