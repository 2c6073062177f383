"""What is damaged is dropped, and nothing that only cannot be read just now."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.errors import IntegrityError, StoreError, UnreachableError
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.store import Store
from mmfs.store.damaged import drop_damaged
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

    path = filled.tables.files("vectors")[0].path
    monkeypatch.setattr(LocalObjects, "open_file", lambda self, name: Failing(self.get(name)))
    for read in (read_parquet, read_footer):
        with pytest.raises(StoreError, match=f"cannot read {path}: Input/output error") as raised:
            read(filled.objects, path)
        assert not isinstance(raised.value, IntegrityError)


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
    digest, info = read_footer(filled.objects, filled.tables.files("vectors")[0].path)
    path.write_bytes(parquet_bytes(spec, canonical_rows(spec, vectors([0.5, 2.0])), digest=digest, info=info))
    [problem] = filled.verify(deep=True).problems
    assert f"differ from their digest; run `mmfs verify --drop-damaged`, then materialize shard {SHARD}" in problem
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
