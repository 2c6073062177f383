"""What is damaged is dropped, and nothing that only cannot be read just now."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmfs.errors import IntegrityError, StoreError, UnreachableError
from mmfs.schemas import TableSpec, VectorType, feature_table, vector_column
from mmfs.store import Store, damaged
from mmfs.store.damaged import drop_damaged
from mmfs.store.data_check import checked_rows
from mmfs.store.data_file import DataFile
from mmfs.store.objects import Objects
from mmfs.store.objects_local import LocalObjects
from mmfs.store.parquet import parquet_bytes, read_footer, read_parquet
from mmfs.store.rows import canonical_rows
from tests.conftest import add_frames, add_media, media_id

SHARD, OTHER = "000001", "000002"


@pytest.fixture
def filled(store: Store) -> Store:
    """Two shards of media and frames; vectors of one of them."""
    for shard, numbers in ((SHARD, range(3)), (OTHER, range(3, 5))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers)
    store.tables.ensure(feature_table("vectors", "", "frame", (vector_column("vector", "", VectorType(2)),)))
    store.tables.update("vectors", SHARD, lambda _: vectors([0.5, 1.0]))
    return store


def vectors(values: list[float]) -> pa.Table:
    column = pa.array([values] * 3, pa.list_(pa.float16(), 2))
    return pa.table({"media_id": [media_id(1)] * 3, "frame_index": range(3), "vector": column})


def file_of(store: Store, table: str, shard: str = SHARD) -> Path:
    return Path(store.url, store.tables.files(table, shard=shard)[0].path)


def pack_of(store: Store, shard: str = SHARD) -> Path:
    return Path(store.url, store.tables.read("frames", columns=["pack"], shard=shard).column(0)[0].as_py())


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("bucket media may not be read (403 Forbidden)", mend="allow it"),
        StoreError("a.tar: 503 Slow Down", mend="check the endpoint"),
        StoreError("cannot read a.tar: Too many open files", mend="check permissions of the store"),
    ],
)
@pytest.mark.parametrize("method", ["get_ranges", "open_file"])
def test_what_cannot_be_read_just_now_is_not_dropped(
    filled: Store, monkeypatch: pytest.MonkeyPatch, method: str, error: StoreError
) -> None:
    pack_of(filled, OTHER).unlink()
    versions = {name: filled.tables.version(name) for name in filled.tables.names()}

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(LocalObjects, method, fail)
        with pytest.raises(type(error), match=re.escape(error.what)) as raised:
            drop_damaged(filled)
    assert raised.value is error
    assert {name: filled.tables.version(name) for name in filled.tables.names()} == versions
    assert drop_damaged(filled) == {("frames", OTHER): 6}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_pack_that_may_not_be_opened_keeps_its_rows(filled: Store) -> None:
    pack_of(filled).chmod(0)
    with pytest.raises(StoreError, match="Permission denied"):
        drop_damaged(filled)


def test_an_error_of_the_disk_inside_a_data_file_is_no_damage(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        """A file of a disk that fails."""

        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    file = filled.tables.files("vectors")[0]
    monkeypatch.setattr(LocalObjects, "open_file", lambda self, name, **_: Failing(self.get(name)))
    for read in (read_parquet, read_footer):
        with pytest.raises(StoreError, match=f"cannot read {file.path}: Input/output error") as raised:
            read(filled.objects, file)
        assert not isinstance(raised.value, IntegrityError)


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (pa.lib.ArrowMemoryError("malloc of size 1073741824 failed"), "free memory, or read it on a machine with more"),
        (MemoryError(), "free memory, or read it on a machine with more"),
        (pa.lib.ArrowCancelled("Operation cancelled"), "run again"),
        (
            pa.ArrowNotImplementedError("Support for codec 'zstd' not built"),
            "read it with the versions of libraries that wrote it",
        ),
        (pa.ArrowInvalid("a cable was loose for once"), "run again"),
    ],
)
def test_a_whole_data_file_that_this_machine_cannot_read_is_no_damage(
    filled: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, mend: str
) -> None:
    versions = {name: filled.tables.version(name) for name in filled.tables.names()}

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(pq.ParquetFile, "read", fail)
        with pytest.raises(StoreError, match=f"cannot read frames/.*; {mend}") as raised:
            drop_damaged(filled)
        assert not isinstance(raised.value, IntegrityError)
        assert any("cannot read frames/" in problem and mend in problem for problem in filled.verify().problems)
    assert {name: filled.tables.version(name) for name in filled.tables.names()} == versions
    assert drop_damaged(filled) == {}


def test_damage_that_asks_for_more_memory_than_there_is_is_damage(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(filled, "vectors")
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))

    def fail(*_arguments: object, **_options: object) -> None:
        raise pa.lib.ArrowMemoryError("malloc of size 1073741824 failed")

    with monkeypatch.context() as broken:
        broken.setattr(pq.ParquetFile, "read", fail)
        broken.setattr(pq.ParquetFile, "__init__", lambda *_arguments, **_options: None)
        with pytest.raises(IntegrityError, match="malloc"):
            filled.tables.read("vectors")
    assert drop_damaged(filled) == {("vectors", SHARD): 3}


def test_a_file_that_no_digest_names_is_judged_by_the_error(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.objects.put("t.parquet", b"no Parquet")
    with pytest.raises(IntegrityError, match=r"t\.parquet cannot be read"):
        read_parquet(filled.objects, filled.objects.info("t.parquet"))

    def fail(*_arguments: object, **_options: object) -> None:
        raise pa.lib.ArrowMemoryError("malloc failed")

    monkeypatch.setattr(pq.ParquetFile, "__init__", fail)
    with pytest.raises(StoreError, match=r"cannot read t\.parquet: malloc failed.*; free memory"):
        read_parquet(filled.objects, filled.objects.info("t.parquet"))


def test_rows_that_somebody_writes_anew_meanwhile_are_not_said_to_be_dropped(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(filled, "vectors")
    file.write_bytes(bytes(file.stat().st_size))
    pack_of(filled).unlink()

    def wrote_meanwhile(objects: Objects, spec: TableSpec, file: DataFile, *, deep: bool) -> pa.Table:
        try:
            return checked_rows(objects, spec, file, deep=deep)
        finally:
            if spec.name == "vectors":
                state = filled.tables.state("vectors", SHARD)
                filled.tables.replace("vectors", SHARD, vectors([0.5, 1.0]), planned=state)
            elif file.shard == SHARD:
                add_frames(filled, SHARD, range(3), blob=lambda number, index: b"anew")

    monkeypatch.setattr(damaged, "checked_rows", wrote_meanwhile)
    assert drop_damaged(filled) == {}
    assert (filled.tables.shards("vectors")[SHARD], filled.tables.shards("frames")[SHARD]) == (3, 9)


def test_rows_are_counted_among_those_that_are_replaced(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = pack_of(filled)
    pack.write_bytes(bytes(pack.stat().st_size))

    def grew_meanwhile(objects: Objects, spec: TableSpec, file: DataFile, *, deep: bool) -> pa.Table:
        rows = checked_rows(objects, spec, file, deep=deep)
        if (spec.name, file.shard) == ("frames", SHARD):
            filled.tables.update("frames", SHARD, lambda current: current.slice(4))
        return rows

    monkeypatch.setattr(damaged, "checked_rows", grew_meanwhile)
    assert drop_damaged(filled) == {("frames", SHARD): 5}


def test_what_was_dropped_is_told_before_something_later_cannot_be_read(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_of(filled).unlink()

    def fail_later(objects: Objects, spec: TableSpec, file: DataFile, *, deep: bool) -> pa.Table:
        if file.shard == OTHER:
            raise StoreError("503 Slow Down", mend="check the endpoint")
        return checked_rows(objects, spec, file, deep=deep)

    monkeypatch.setattr(damaged, "checked_rows", fail_later)
    told: list[tuple[str, str, int]] = []
    with pytest.raises(StoreError, match="503 Slow Down"):
        drop_damaged(filled, lambda *dropped: told.append(dropped))
    assert told == [("frames", SHARD, 9)]


def test_damaged_data_files_do_not_keep_others_from_being_mended(filled: Store) -> None:
    file = file_of(filled, "vectors")
    file.write_bytes(bytes(file.stat().st_size))
    pack_of(filled, OTHER).unlink()
    media = file_of(filled, "raw_media")
    media.rename(media.with_suffix(".backup"))
    assert drop_damaged(filled) == {("frames", OTHER): 6, ("vectors", SHARD): 3}
    assert filled.tables.shards("vectors") == {SHARD: 0}
    assert filled.tables.read("vectors").num_rows == 0
    assert drop_damaged(filled) == {}
    [problem] = [problem for problem in filled.verify(deep=True).problems if media.name in problem]
    assert problem.endswith(f"restore the file of shard {SHARD} of raw_media from a backup")
    media.with_suffix(".backup").rename(media)
    filled.tables.update("vectors", SHARD, lambda _: vectors([0.5, 1.0]))
    add_frames(filled, OTHER, range(3, 5))
    assert filled.verify(deep=True).problems == []


def test_a_data_file_that_is_gone_or_holds_other_values_is_dropped(filled: Store) -> None:
    spec, path = filled.tables.spec("vectors"), file_of(filled, "vectors")
    digest, info = read_footer(filled.objects, filled.tables.files("vectors")[0])
    path.write_bytes(parquet_bytes(spec, canonical_rows(spec, vectors([0.5, 2.0])), digest=digest, info=info))
    [problem] = filled.verify(deep=True).problems
    assert f"differs from its checksum; run `mmfs verify --drop-damaged`, then materialize shard {SHARD}" in problem
    file_of(filled, "frames").unlink()
    assert drop_damaged(filled) == {("frames", SHARD): 9, ("vectors", SHARD): 3}
    assert filled.tables.shards("frames") == {SHARD: 0, OTHER: 6}
    assert drop_damaged(filled) == {}


def test_rows_replace_a_file_that_cannot_be_read_even_by_equal_ones(filled: Store) -> None:
    planned = filled.tables.state("vectors", SHARD)
    assert not filled.tables.replace("vectors", SHARD, vectors([0.5, 1.0]), planned=planned).changed
    file = file_of(filled, "vectors")
    file.write_bytes(bytes(file.stat().st_size))
    assert filled.tables.replace("vectors", SHARD, vectors([0.5, 1.0]), planned=planned).changed
    assert filled.verify(deep=True).problems == []
