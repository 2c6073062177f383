"""Select: samples that fit, in canonical order, with columns of other tables beside them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmfs.errors import WhereError
from mmfs.schemas import Column, VectorType, feature_table, vector_column
from mmfs.store import Store
from tests.conftest import add_frames, add_media, media_id


@pytest.fixture
def filled(store: Store) -> Store:
    add_media(store, "000002", range(2))
    add_media(store, "000001", range(2, 5), kind="video")
    add_frames(store, "000002", range(2), per_media=2)
    add_frames(store, "000001", range(2, 5), per_media=2)
    columns = (vector_column("vector", "", VectorType(2)), Column("score", pa.float64(), ""))
    store.tables.ensure(feature_table("looks", "", "frame", columns))
    vectors = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float16(), 2))
    rows = {"media_id": [media_id(2)] * 2, "frame_index": [0, 1], "vector": vectors, "score": [0.5, 1.5]}
    store.tables.update("looks", "000001", lambda _: pa.table(rows))
    return store


def test_without_a_condition_all_samples_come_by_shard_then_key(filled: Store) -> None:
    found = filled.select("frame")
    assert found.schema.names == ["media_id", "frame_index", "shard"]
    assert found.column("shard").to_pylist() == ["000001"] * 6 + ["000002"] * 4
    assert found.equals(filled.select("frame", where="frame_index >= 0"))


def test_a_condition_may_name_any_table_of_the_sample(filled: Store) -> None:
    found = filled.select("frame", where="kind = 'video' AND score > 1 AND is_keyframe = FALSE")
    assert found.to_pylist() == [{"media_id": media_id(2), "frame_index": 1, "shard": "000001"}]


def test_columns_come_under_the_names_they_were_asked_by_and_null_where_missing(filled: Store) -> None:
    found = filled.select("frame", where="width <= 3", columns=["width", "looks.vector", "looks.score", "shard"])
    assert found.schema.names == ["media_id", "frame_index", "shard", "width", "looks.vector", "looks.score"]
    assert found.schema.field("looks.vector").type == pa.list_(pa.float16(), 2)
    assert found.column("looks.vector").to_pylist() == [[1.0, 2.0], [3.0, 4.0], None, None, None, None]
    assert found.column("width").to_pylist() == [3, 3, 1, 1, 2, 2]


def test_tables_are_read_at_the_versions_given(filled: Store) -> None:
    versions = {name: filled.tables.version(name) for name in ("frames", "raw_media")}
    add_frames(filled, "000003", range(7, 9))
    assert filled.select("frame").num_rows == 16
    assert filled.select("frame", versions=versions).num_rows == 10
    assert filled.select("frame", where="frame_index >= 0", versions=versions).num_rows == 10


def test_a_condition_that_fits_nothing_gives_no_rows_of_the_same_schema(filled: Store) -> None:
    found = filled.select("frame", where="width > 100", columns=["looks.vector"])
    assert found.num_rows == 0
    assert found.schema.field("looks.vector").type == pa.list_(pa.float16(), 2)


def test_a_column_of_which_there_are_many_cannot_be_asked_for(filled: Store) -> None:
    with pytest.raises(WhereError, match="a frame may have many rows of captions"):
        filled.select("frame", columns=["captions.text"])


def test_a_condition_that_is_no_truth_value_is_a_where_error(filled: Store) -> None:
    with pytest.raises(WhereError, match=r"width \+ 1"):
        filled.select("frame", where="width + 1")


def test_windows_of_sound_are_chosen_by_their_own_times_and_by_their_media(filled: Store) -> None:
    schema = pa.schema([field for field in filled.tables.spec("audio_windows").arrow_schema() if field.name != "shard"])
    media_ids = filled.tables.read("raw_media", shard="000001").column("media_id").to_pylist()[:2]
    rows = [
        {"media_id": media_id, "window_index": index, "start_s": 10.0 * index, "end_s": 10.0 * index + 10}
        for media_id in sorted(media_ids)
        for index in range(3)
    ]
    filled.tables.update("audio_windows", "000001", lambda _: pa.Table.from_pylist(rows, schema=schema))
    found = filled.select("audio_window", where=f"start_s >= 10 AND media_id = '{media_ids[0]}'", columns=["kind"])
    assert found.column("window_index").to_pylist() == [1, 2]
    assert found.column("kind").to_pylist() == ["video", "video"]
