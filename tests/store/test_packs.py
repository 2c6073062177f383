"""Packs: written once, read in ranges, checked always."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.errors import IntegrityError, StoreError
from mmfs.store import BlobRef, Objects, PackWriter, Store, read_blobs, refs_of
from mmfs.store.faults import arm
from tests.conftest import add_frames


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(tmp_path / "root")


def write(objects: Objects, blobs: list[bytes], **options: int) -> list[BlobRef]:
    with PackWriter(objects, "frames", "000001", **options) as packs:
        for number, blob in enumerate(blobs):
            assert packs.add(f"k{number:04d}.jpg", blob) == number
        return packs.finish()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(blobs=st.lists(st.binary(max_size=2000), max_size=20), max_bytes=st.sampled_from([2048, 1 << 30]))
def test_every_blob_comes_back_whatever_its_size_and_order(
    objects: Objects, blobs: list[bytes], max_bytes: int
) -> None:
    refs = write(objects, blobs, max_bytes=max_bytes)
    assert read_blobs(objects, refs) == blobs
    assert read_blobs(objects, refs[::-1]) == blobs[::-1]


def test_the_webdataset_package_reads_a_pack(objects: Objects) -> None:
    wds = pytest.importorskip("webdataset")
    refs = write(objects, [b"one", b"two" * 1000, b""])
    samples = list(wds.WebDataset(str(objects.local_path(refs[0].pack)), shardshuffle=False))
    assert [(sample["__key__"], sample["jpg"]) for sample in samples] == [
        ("k0000", b"one"),
        ("k0001", b"two" * 1000),
        ("k0002", b""),
    ]


def test_a_pack_is_a_plain_tar_named_by_its_content(objects: Objects) -> None:
    refs = write(objects, [b"one", b"two"])
    path = objects.local_path(refs[0].pack)
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem)
    with tarfile.open(path) as tar:
        assert [(member.name, member.mtime, member.uid) for member in tar] == [("k0000.jpg", 0, 0), ("k0001.jpg", 0, 0)]
    assert write(objects, [b"one", b"two"]) == refs, "equal blobs make an equal pack"


def test_a_full_pack_is_closed_and_the_next_begun(objects: Objects) -> None:
    refs = write(objects, [bytes(3000)] * 5, max_bytes=10_000)
    assert len({ref.pack for ref in refs}) == 3
    assert all(objects.size(ref.pack) <= 11_000 for ref in refs)


def test_nothing_is_visible_before_finish_and_nothing_stays_after_a_failure(objects: Objects) -> None:
    def half() -> None:
        with PackWriter(objects, "frames", "000001") as packs:
            packs.add("a.jpg", b"data")
            assert list(objects.list("packs")) == []
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        half()
    assert [info.path for info in objects.list()] == []


def test_a_pack_that_cannot_be_published_leaves_nothing(objects: Objects) -> None:
    def fail() -> None:
        raise RuntimeError("boom")

    with arm("packs.before_publish", fail), pytest.raises(RuntimeError):
        write(objects, [b"data"])
    assert list(objects.list("packs")) == []


@pytest.mark.parametrize(
    "name", ["a.b.jpg", "a", "../a.jpg", "/a.jpg", "a b.jpg", ".jpg", "a.", "é.jpg", "x" * 120 + ".jpg"]
)
def test_a_member_name_that_webdataset_would_misread_is_refused(objects: Objects, name: str) -> None:
    with PackWriter(objects, "frames", "000001") as packs, pytest.raises(StoreError, match="cannot name a blob"):
        packs.add(name, b"")


def test_a_member_name_is_used_once(objects: Objects) -> None:
    with PackWriter(objects, "frames", "000001") as packs:
        packs.add("a.jpg", b"")
        with pytest.raises(StoreError, match=r"'a\.jpg'"):
            packs.add("a.jpg", b"")


def test_a_flipped_bit_is_detected_naming_pack_and_offset(objects: Objects) -> None:
    refs = write(objects, [b"one" * 100, b"two" * 100])
    path = objects.local_path(refs[1].pack)
    assert path is not None
    damaged = bytearray(path.read_bytes())
    damaged[refs[1].offset + 7] ^= 0x10
    path.write_bytes(damaged)
    assert read_blobs(objects, refs[:1]) == [b"one" * 100]
    with pytest.raises(IntegrityError, match=rf"offset {refs[1].offset} of {refs[1].pack}"):
        read_blobs(objects, refs)
    assert len(read_blobs(objects, refs, verify=False)) == 2


def test_a_truncated_or_missing_pack_is_an_integrity_error(objects: Objects) -> None:
    refs = write(objects, [b"one" * 1000])
    path = objects.local_path(refs[0].pack)
    assert path is not None
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match=refs[0].pack):
        read_blobs(objects, refs)
    path.unlink()
    with pytest.raises(IntegrityError, match=refs[0].pack):
        read_blobs(objects, refs)


def test_rows_lead_to_their_bytes(store: Store) -> None:
    rows = add_frames(store, "000001", range(3))
    assert [ref.length for ref in refs_of(rows)] == rows.column("length").to_pylist()
    blobs = store.blobs("frames", rows.slice(4, 2))
    assert blobs == [b"frame 1:1;" * 20, b"frame 1:2;" * 20]


def test_blobs_of_a_table_without_any_are_refused(store: Store) -> None:
    rows = add_frames(store, "000001", range(1))
    with pytest.raises(StoreError, match="raw_media holds no blobs"):
        store.blobs("raw_media", rows)
    with pytest.raises(StoreError, match="lack the column pack"):
        store.blobs("frames", rows.drop_columns("pack"))
