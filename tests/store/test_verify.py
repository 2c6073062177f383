"""Verify: every kind of difference is found and named, and a whole store has none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.errors import IntegrityError
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.store import Store
from mmfs.store.parquet import parquet_bytes, read_footer
from mmfs.store.pins import Pins
from mmfs.store.rows import canonical_rows
from tests.conftest import add_frames, add_media, media_id


@pytest.fixture
def filled(store: Store) -> Store:
    for shard, numbers in (("000001", range(3)), ("000002", range(3, 5))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers)
    store.tables.ensure(feature_table("vectors", "", "frame", (vector_column("vector", "", VectorType(2)),)))
    values = pa.array([[0.5, 1.0]] * 3, pa.list_(pa.float16(), 2))
    rows = pa.table({"media_id": [media_id(1)] * 3, "frame_index": range(3), "vector": values})
    store.tables.update("vectors", "000001", lambda _: rows)
    entry = {"space": ["vectors"], "rows": [3], "table_version": [store.tables.version("vectors")]}
    store.tables.update("qdrant_index", "000001", lambda _: pa.table(entry))
    Pins(store).create("all", columns=["frames.image"], now_us=0)
    return store


def file_of(store: Store, table: str) -> Path:
    path = store.objects.local_path(store.tables.files(table, shard="000001")[0].path)
    assert path is not None
    return path


def pack_of(store: Store) -> Path:
    path = store.objects.local_path(store.tables.read("frames", columns=["pack"]).column(0)[0].as_py())
    assert path is not None
    return path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_whole_store_has_no_difference(filled: Store) -> None:
    for deep in (False, True):
        report = filled.verify(deep=deep)
        assert report.ok, report.problems
        assert (report.rows, report.blobs, report.pins) == (24, 15, 1)
    assert "no difference" in report.summary()


def test_a_flipped_bit_in_a_pack_is_found_by_a_deep_look_naming_pack_and_offset(filled: Store) -> None:
    offset = filled.tables.read("frames", columns=["offset"]).column(0)[4].as_py()
    flip(pack_of(filled), offset + 3)
    assert filled.verify().ok
    problems = filled.verify(deep=True).problems
    assert len(problems) == 1
    assert f"offset {offset} of packs/frames/000001/" in problems[0]


def test_a_missing_or_short_pack_is_found(filled: Store) -> None:
    pack = pack_of(filled)
    pack.write_bytes(pack.read_bytes()[:2000])
    problems = filled.verify().problems
    assert any("which has 2000" in problem for problem in problems)
    pack.unlink()
    problems = filled.verify().problems
    assert any("does not exist, but 9 rows name it" in problem for problem in problems)
    assert any("pin all names" in problem for problem in problems)


def test_a_missing_short_or_unreadable_data_file_is_found(filled: Store) -> None:
    path = file_of(filled, "raw_media")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert any("is not" in problem and "bytes long" in problem for problem in filled.verify().problems)
    path.write_bytes(bytes(len(whole)))
    assert any(path.name in problem and "cannot be read" in problem for problem in filled.verify().problems)
    path.unlink()
    assert any(path.name in problem and "does not exist" in problem for problem in filled.verify().problems)


def test_a_flipped_bit_of_a_data_file_is_found_by_a_deep_look(filled: Store) -> None:
    path = file_of(filled, "vectors")
    flip(path, path.read_bytes().index(bytes.fromhex("040000000038003c")) + 5)  # length, 0.5, 1.0: stored plain
    assert filled.verify().ok
    [problem] = filled.verify(deep=True).problems
    assert f"{path.name} differs from its checksum" in problem
    with pytest.raises(IntegrityError, match=f"{path.name} cannot be read"):
        filled.tables.read("vectors")


def test_values_that_were_written_anew_are_found_by_a_deep_look(filled: Store) -> None:
    path, spec = file_of(filled, "vectors"), filled.tables.spec("vectors")
    rows = filled.tables.read("vectors", shard="000001")
    others = pa.array([[0.5, 2.0]] * 3, pa.list_(pa.float16(), 2))
    rows = rows.drop_columns("shard").set_column(rows.column_names.index("vector"), "vector", others)
    digest, info = read_footer(filled.objects, filled.tables.files("vectors", shard="000001")[0])
    path.write_bytes(parquet_bytes(spec, canonical_rows(spec, rows), digest=digest, info=info))
    [problem] = filled.verify(deep=True).problems
    assert f"{path.name} differs from its checksum" in problem


def test_bytes_of_a_data_file_that_no_reader_looks_at_are_compared_by_a_deep_look(filled: Store) -> None:
    path = file_of(filled, "vectors")
    flip(path, path.read_bytes().rindex(b"parquet-cpp-arrow"))
    assert filled.verify().ok
    assert [path.name in problem for problem in filled.verify(deep=True).problems] == [True]


def test_a_key_column_whose_name_is_damaged_is_found(filled: Store) -> None:
    path = file_of(filled, "vectors")
    damaged = path.read_bytes().replace(b"frame_index", b"frame_indey")
    path.write_bytes(damaged)
    assert any(path.name in problem and "frame_index" in problem for problem in filled.verify().problems)


def test_a_data_file_whose_folder_cannot_be_opened_is_named_and_the_rest_is_compared(filled: Store) -> None:
    folder = file_of(filled, "vectors").parent
    pack_of(filled).unlink()
    folder.rename(folder.with_name("moved"))
    folder.write_bytes(b"no folder")
    problems = filled.verify().problems
    assert any("Not a directory" in problem and "vectors" in problem for problem in problems)
    assert any("9 rows name it" in problem for problem in problems)


def test_rows_of_a_feature_whose_sample_is_gone_are_found(filled: Store) -> None:
    add_frames(filled, "000001", [0, 2])
    assert any("3 rows of shard 000001 of vectors have no row in frames" in p for p in filled.verify().problems)


def test_a_media_in_two_shards_is_found(filled: Store) -> None:
    add_media(filled, "000002", range(2, 5))
    assert any("1 media are in more than one shard" in problem for problem in filled.verify().problems)


def test_an_index_that_holds_other_rows_than_its_table_is_found(filled: Store) -> None:
    entry = {"space": ["vectors"], "rows": [2], "table_version": [filled.tables.version("vectors")]}
    filled.tables.update("qdrant_index", "000001", lambda _: pa.table(entry))
    problems = filled.verify().problems
    assert problems == [
        "the index of vectors holds 2 rows of shard 000001 where the table had 3; materialize qdrant_index again"
    ]


def test_a_pin_in_pieces_is_found(filled: Store) -> None:
    filled.objects.put("pins/all.json", b"{")
    assert any("'all'" in problem for problem in filled.verify().problems)
