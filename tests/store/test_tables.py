"""Tables: what goes in comes out typed and in order, and a shard is replaced whole or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.errors import IntegrityError, StalePlanError, StoreError
from mmfs.schemas import ROW_GROUP_ROWS, Column, TableSpec, VectorType, feature_table, vector_column
from mmfs.store import Store
from mmfs.store.verify import verify
from tests.conftest import add_frames, add_media, media_id, media_rows

VECTORS = feature_table("vectors", "Test vectors.", "frame", (vector_column("vector", "Vector.", VectorType(4)),))


def vector_rows(count: int, *, dtype: str = "float16") -> pa.Table:
    values = np.arange(count * 4, dtype=dtype)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values), 4)
    return pa.table(
        {
            "media_id": [media_id(1)] * count,
            "frame_index": list(range(count)),
            "vector": lists,
            "fingerprint": ["f"] * count,
        }
    )


def test_rows_come_back_in_canonical_order_with_the_schema_of_the_table(store: Store) -> None:
    store.tables.update("raw_media", "000002", lambda _: media_rows([9, 7, 8]))
    store.tables.update("raw_media", "000001", lambda _: media_rows([3, 1, 2]))
    rows = store.tables.read("raw_media")
    assert rows.column("media_id").to_pylist() == [media_id(n) for n in (1, 2, 3, 7, 8, 9)]
    assert rows.column("shard").to_pylist() == ["000001"] * 3 + ["000002"] * 3
    assert rows.column("fps").null_count == 6, "a column not given is null"
    assert rows.schema.names == [*(c.name for c in store.tables.spec("raw_media").columns), "shard"]
    assert store.tables.read("raw_media", shard="000002", columns=["shard", "width"]).to_pydict() == {
        "shard": ["000002"] * 3,
        "width": [8, 9, 10],
    }
    assert store.tables.shards("raw_media") == {"000001": 3, "000002": 3}


def test_a_table_without_rows_reads_as_its_schema(store: Store) -> None:
    rows = store.tables.read("frames")
    assert rows.num_rows == 0
    assert rows.schema.field("pts_us").type == pa.int64()
    assert store.tables.shards("frames") == {}
    assert store.tables.state("frames", "000001").app_version == -1
    assert store.tables.commit_info("frames", "000001") == {}


def test_a_shard_written_without_rows_is_known_as_empty(store: Store) -> None:
    commit = store.tables.update("frames", "000001", lambda rows: rows)
    assert commit.changed
    assert store.tables.shards("frames") == {"000001": 0}
    assert store.tables.digest("frames", "000001") == commit.digest == store.tables.digest("frames", "000002")
    assert store.sql("SELECT count(*) AS n FROM frames").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_vectors_are_handed_over_and_out_as_fixed_size_lists(store: Store, dtype: str) -> None:
    store.tables.ensure(VECTORS)
    rows = vector_rows(10, dtype=dtype)
    store.tables.update("vectors", "000001", lambda _: rows.slice(3, 5))
    found = store.tables.read("vectors")
    assert found.schema.field("vector").type == pa.list_(pa.float16(), 4)
    assert found.column("vector").to_pylist() == rows.slice(3, 5).column("vector").to_pylist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(present=st.lists(st.booleans(), max_size=12), start=st.integers(0, 3))
def test_missing_vectors_stay_missing_in_any_slice(store: Store, present: list[bool], start: int) -> None:
    store.tables.ensure(VECTORS)
    values = [[float(n)] * 4 if there else None for n, there in enumerate(present)]
    rows = pa.table(
        {
            "media_id": pa.array([media_id(1)] * len(values), pa.string()),
            "frame_index": pa.array(range(len(values)), pa.int64()),
            "vector": pa.array(values, pa.list_(pa.float16(), 4)),
        }
    ).slice(start)
    store.tables.update("vectors", "000001", lambda _: rows)
    assert store.tables.read("vectors").column("vector").to_pylist() == values[start:]


def test_row_groups_are_equal_and_vectors_lie_plain_in_the_file(store: Store) -> None:
    import pyarrow.parquet as pq

    store.tables.ensure(VECTORS)
    store.tables.update("vectors", "000001", lambda _: vector_rows(2 * ROW_GROUP_ROWS + 5))
    path = store.objects.local_path(store.tables.files("vectors")[0].path)
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(n).num_rows for n in range(3)] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 5]
    column = metadata.row_group(0).column(2)
    assert (column.path_in_schema, column.compression, column.has_dictionary_page) == ("vector", "UNCOMPRESSED", False)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"media_id": ["a", "a"]}), r"key \(a\) of raw_media is there twice"),
        (pa.table({"media_id": pa.array(["a", None])}), "lack a value of their key 'media_id'"),
        (pa.table({"width": [1]}), "lack a value of their key 'media_id'"),
        (pa.table({"media_id": ["a"], "colour": ["red"]}), "raw_media has no column 'colour'"),
        (pa.table({"media_id": ["a"], "width": ["wide"]}), "raw_media.width cannot hold string"),
        (pa.table({"media_id": ["a"], "width": [1.5]}), "raw_media.width cannot hold double"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(store: Store, rows: pa.Table, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        store.tables.update("raw_media", "000001", lambda _: rows)
    assert store.tables.shards("raw_media") == {}


def test_vectors_of_another_length_are_refused(store: Store) -> None:
    store.tables.ensure(VECTORS)
    rows = pa.table({"media_id": ["a"], "frame_index": [0], "vector": pa.array([[1.0]], pa.list_(pa.float32(), 1))})
    with pytest.raises(StoreError, match=r"vectors\.vector.*\[4\]"):
        store.tables.update("vectors", "000001", lambda _: rows)


@pytest.mark.parametrize("shard", ["", "../x", "a/b", "a b", "a=b", "é", "-x"])
def test_a_shard_name_that_could_not_be_a_folder_is_refused(store: Store, shard: str) -> None:
    with pytest.raises(StoreError, match="cannot name a shard"):
        store.tables.update("raw_media", shard, lambda _: media_rows([1]))


def test_an_unknown_table_or_column_is_refused_by_name(store: Store) -> None:
    with pytest.raises(StoreError, match="no table 'nix'"):
        store.tables.read("nix")
    with pytest.raises(StoreError, match=r"raw_media has no column 'nix'.*media_id"):
        store.tables.read("raw_media", columns=["nix"])


def test_old_versions_stay_readable_by_number_and_by_file(store: Store) -> None:
    add_media(store, "000001", range(2))
    version, files = store.tables.version("raw_media"), store.tables.files("raw_media")
    add_media(store, "000001", range(5))
    assert store.tables.read("raw_media").num_rows == 5
    assert store.tables.read("raw_media", version=version).num_rows == 2
    assert store.tables.read("raw_media", files=files).num_rows == 2
    assert store.tables.shards("raw_media", version) == {"000001": 2}
    with pytest.raises(StoreError, match="raw_media"):
        store.tables.read("raw_media", version=99)


def test_equal_rows_are_not_written_again(store: Store) -> None:
    add_media(store, "000001", range(3))
    version = store.tables.version("raw_media")
    commit = store.tables.update("raw_media", "000001", lambda rows: rows)
    assert not commit.changed
    assert commit.rows == 3
    assert store.tables.version("raw_media") == version


def test_the_digest_ignores_row_order_times_and_pack_names_and_nothing_else(store: Store) -> None:
    def digest(rows: pa.Table, table: str = "raw_media") -> str:
        return store.tables.update(table, "000001", lambda _: rows).digest

    rows = media_rows(range(4))
    first = digest(rows)
    assert digest(rows.take(pa.array([2, 0, 3, 1]))) == first
    assert digest(media_rows(range(4), ingested_at_us=5)) == first
    assert digest(media_rows(range(4), height=99)) != first
    assert digest(media_rows(range(4), licence="")) != digest(rows), "empty is not missing"

    frames = add_frames(store, "000009", range(2)).drop_columns("shard")
    there = digest(frames, "frames")
    moved = frames.set_column(7, "pack", pa.array(["packs/frames/000001/other.tar"] * 6))
    assert digest(moved.set_column(8, "offset", pa.array(range(6))), "frames") == there
    assert digest(frames.set_column(10, "crc32", pa.array(range(6))), "frames") != there


def test_the_digest_of_a_table_is_that_of_its_shards_in_any_order_of_writing(tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    digests = []
    for order in (("000001", "000002"), ("000002", "000001")):
        store = Store.open(tmp_path_factory.mktemp("store"))
        for shard in order:
            add_media(store, shard, range(int(shard) * 10, int(shard) * 10 + 3))
        digests.append(store.tables.digest("raw_media"))
    assert digests[0] == digests[1]


def test_the_digests_of_many_shards_are_those_of_each(store: Store) -> None:
    for shard in ("000001", "000002"):
        add_media(store, shard, range(int(shard) * 10, int(shard) * 10 + 3))
    shards = ["000002", "000001", "000009"]  # the last was never written
    found = store.tables.digests("raw_media", shards)
    assert found == {shard: store.tables.digest("raw_media", shard) for shard in shards}
    assert store.tables.digests("raw_media", []) == {}


def test_the_information_of_a_commit_belongs_to_its_shard(store: Store) -> None:
    store.tables.update("raw_media", "000001", lambda _: media_rows([1]), info={"run": "a"})
    store.tables.update("raw_media", "000002", lambda _: media_rows([2]), info={"run": "b"})
    assert store.tables.commit_info("raw_media", "000001") == {"run": "a"}
    assert store.tables.commit_info("raw_media", "000002") == {"run": "b"}


def test_a_table_of_a_feature_is_known_to_readers_without_the_feature(store: Store) -> None:
    store.tables.ensure(VECTORS)
    assert Store.open(store.url).tables.spec("vectors") == VECTORS
    assert "vectors" in Store.open(store.url).tables.names()


def test_another_model_may_change_the_dimension_of_a_vector_and_nothing_else(store: Store) -> None:
    store.tables.ensure(VECTORS)
    store.tables.update("vectors", "000001", lambda _: vector_rows(2))
    wider = feature_table(
        "vectors",
        "Test vectors.",
        "frame",
        (replace(VECTORS.column("vector"), vector=VectorType(8)),),
    )
    store.tables.ensure(wider)
    assert store.tables.spec("vectors").column("vector").vector == VectorType(8)
    assert store.tables.read("vectors").schema.field("vector").type == pa.list_(pa.float16(), 4), "as it was written"
    lists = pa.array([[1.0] * 8], pa.list_(pa.float16(), 8))
    rows = pa.table({"media_id": ["b"], "frame_index": [0], "vector": lists})
    store.tables.update("vectors", "000002", lambda _: rows)
    with pytest.raises(StoreError, match="different dimensions"):
        store.tables.read("vectors")
    assert store.tables.read("vectors", shard="000002").num_rows == 1
    other = feature_table("vectors", "Test vectors.", "frame", (Column("score", pa.float32(), "Score."),))
    with pytest.raises(StoreError, match="exists with other columns"):
        Store.open(store.url).tables.ensure(other)


def scores(*names: str, is_whole: bool = False) -> TableSpec:
    kind = pa.int64() if is_whole else pa.float32()
    return feature_table("scores", "Test scores.", "frame", tuple(Column(name, kind, f"{name}.") for name in names))


def score_rows(number: int, **values: float) -> pa.Table:
    columns = {name: pa.array([value], pa.float32()) for name, value in values.items()}
    return pa.table({"media_id": [media_id(number)], "frame_index": [0], **columns})


def test_columns_come_and_go_and_what_was_written_before_keeps_its_meaning(store: Store) -> None:
    for shard, numbers in (("000001", range(3)), ("000002", range(3, 4))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers, per_media=1)
    store.tables.ensure(scores("dog", "cat"))
    store.tables.update("scores", "000001", lambda _: score_rows(0, dog=0.5, cat=0.25))
    before, digest = store.tables.version("scores"), store.tables.digest("scores", "000001")
    store.tables.ensure(scores("cow", "dog"))
    store.tables.update("scores", "000002", lambda _: score_rows(3, dog=1.0, cow=0.125))
    wanted = {"dog": [0.5, 1.0], "cat": [0.25, None], "cow": [None, 0.125]}
    for opened in (store, Store.open(store.url)):
        assert opened.tables.read("scores", columns=["dog", "cat", "cow"]).to_pydict() == wanted
        assert opened.sql("SELECT dog, cat, cow FROM scores ORDER BY media_id").to_pydict() == wanted
        assert opened.tables.read("scores", columns=["cow"], shard="000001").to_pydict() == {"cow": [None]}
        assert opened.tables.read("scores").schema.field("cow").type == pa.float32()
        assert "cow" not in opened.tables.read("scores", version=before).column_names
        assert opened.select("frame", where="cow > 0.1").num_rows == 1
        assert opened.tables.digest("scores", "000001") == digest
        assert verify(opened, deep=True).problems == []
    with pytest.raises(StoreError, match="exists with other columns"):
        store.tables.ensure(scores("dog", is_whole=True))


@pytest.mark.parametrize("name", ["packs", "pins", "Ab", "a-b", "", "../x"])
def test_a_table_cannot_take_the_name_of_a_folder_of_the_store(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a table"):
        store.tables.ensure(feature_table(name, "", "frame", ()))


def test_who_planned_on_an_older_state_is_told_so(store: Store) -> None:
    planned = store.tables.state("raw_media", "000001")
    store.tables.replace("raw_media", "000001", media_rows([1]), planned=planned)
    with pytest.raises(StalePlanError, match="shard 000001 of raw_media was replaced"):
        store.tables.replace("raw_media", "000001", media_rows([2]), planned=planned)
    assert store.tables.read("raw_media").column("media_id").to_pylist() == [media_id(1)]


def test_update_plans_again_and_loses_nothing(store: Store) -> None:
    """Eight threads add one row each to the same shard; every addition sees those before it."""

    def add(number: int) -> None:
        def build(rows: pa.Table) -> pa.Table:
            return pa.concat_tables([rows.select(["media_id"]), pa.table({"media_id": [media_id(number)]})])

        store.tables.update("raw_media", "000001", build)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.tables.read("raw_media").column("media_id").to_pylist() == [media_id(n) for n in range(8)]
    assert store.tables.state("raw_media", "000001").app_version == 7


def test_a_damaged_data_file_is_an_integrity_error_that_names_it(store: Store) -> None:
    add_media(store, "000001", range(3))
    file = store.tables.files("raw_media")[0]
    store.objects.put(file.path, b"PAR1" + bytes(file.size_bytes - 8) + b"PAR1")
    with pytest.raises(IntegrityError, match=file.path):
        store.tables.read("raw_media")
    with pytest.raises(IntegrityError, match=file.path):
        store.tables.digest("raw_media", "000001")


def test_writers_that_add_columns_at_the_same_time_all_succeed(store: Store) -> None:
    store.tables.ensure(feature_table("scores", "Scores.", "frame", (Column("first", pa.float32(), "Score."),)))
    failed: list[Exception] = []

    def add(number: int) -> None:
        columns = tuple(Column(name, pa.float32(), "Score.") for name in ("first", f"more_{number}"))
        try:
            Store.open(store.url).tables.ensure(feature_table("scores", "Scores.", "frame", columns))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    names = {column.name for column in Store.open(store.url).tables.spec("scores").columns}
    assert {"first", "more_0", "more_1", "more_2", "more_3"} <= names


def test_a_fingerprint_that_all_rows_share_is_told_by_the_log_alone(store: Store) -> None:
    store.tables.ensure(VECTORS)
    store.tables.update("vectors", "000001", lambda _: vector_rows(3))
    store.tables.update("vectors", "000002", lambda _: vector_rows(0))
    for file in store.tables.files("vectors"):
        store.objects.delete(file.path)
    assert store.tables.fingerprints("vectors") == {"f"}


def test_fingerprints_of_a_shard_with_several_are_read_from_its_rows(store: Store) -> None:
    store.tables.ensure(VECTORS)
    rows = vector_rows(2)
    mixed = rows.set_column(rows.schema.get_field_index("fingerprint"), "fingerprint", pa.array(["old", "new"]))
    store.tables.update("vectors", "000001", lambda _: mixed)
    store.tables.update("vectors", "000002", lambda _: vector_rows(1))
    assert store.tables.fingerprints("vectors") == {"old", "new", "f"}
