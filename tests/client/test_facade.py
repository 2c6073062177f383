from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import mmfs
from mmfs.errors import FeatureError, LoaderError, StoreError, WhereError
from mmfs.store import Store
from tests.conftest import add_frames, add_media, media_id


@pytest.fixture
def features(store: Store) -> mmfs.FeatureStore:
    for shard, numbers in (("000000", range(3)), ("000001", range(3, 5))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers, per_media=2)
    return mmfs.open_store(store.url)


def test_a_store_opens_by_path_by_settings_and_by_variable(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert mmfs.open_store(Path(store.url)).url == store.url
    assert mmfs.open_store(mmfs.Settings(store=store.url)).url == store.url
    monkeypatch.setenv("MMFS_STORE", store.url)
    assert mmfs.open_store().url == store.url
    with pytest.raises(StoreError, match="no store"):
        mmfs.open_store(tmp_path / "none", create=False)


def test_tables_tell_coverage_and_hide_pack_references(features: mmfs.FeatureStore) -> None:
    infos = features.tables()
    assert infos["frames"].rows == 10
    assert infos["frames"].columns[-1] == "image"
    assert infos["frames"].fingerprint == "f0"
    assert infos["raw_media"].coverage is None


@pytest.mark.parametrize(
    ("where", "frames"),
    [("time_s >= 1", 5), ("width > 3", 4), ("raw_media.width > 3 AND time_s = 0", 2), ("frame_index IN (7)", 0)],
)
def test_reading_a_table_where_its_own_and_coarser_columns_fit(
    features: mmfs.FeatureStore, where: str, frames: int
) -> None:
    rows = features.table("frames").to_arrow(columns=["frame_index", "time_s"], where=where)
    assert rows.column_names == ["frame_index", "time_s"]
    assert rows.num_rows == frames


def test_reading_a_bookkeeping_table_where(features: mmfs.FeatureStore) -> None:
    features.subset("s").save(pa.table({"media_id": [media_id(0), media_id(1)], "frame_index": [0, 1]}))
    assert features.table("subsets").to_arrow(columns=["key"], where="rank = 1")["key"].to_pylist() == [
        f"{media_id(1)}:1"
    ]


def test_a_wrong_condition_names_the_columns_that_exist(features: mmfs.FeatureStore) -> None:
    with pytest.raises(WhereError, match=r"widht.*width"):
        features.table("frames").to_arrow(where="widht > 3")


def test_subsets_are_saved_from_tables_frames_of_pandas_and_sql(features: mmfs.FeatureStore) -> None:
    keys = pa.table({"media_id": [media_id(0)], "frame_index": [1]})
    assert features.subset("arrow").save(keys).samples == 1
    assert features.subset("pandas").save(pd.DataFrame(keys.to_pydict())).samples == 1
    assert features.subset("sql").save("SELECT media_id, frame_index FROM frames WHERE time_s = 1").samples == 5
    assert features.subset("sql").to_arrow()["query"][0].as_py().startswith("SELECT")
    with pytest.raises(StoreError, match="a list cannot be saved"):
        features.subset("list").save([media_id(0)])  # type: ignore[arg-type]


def test_sql_reads_the_versions_of_a_pin(features: mmfs.FeatureStore) -> None:
    features.pin("before", columns=["frames.time_s"])
    add_frames(features.core, "000002", range(7, 8), per_media=4)
    count = "SELECT count(*) AS n FROM frames"
    assert features.sql(count)["n"].to_pylist() == [14]
    assert features.sql(count, pin="before")["n"].to_pylist() == [10]


def test_unknown_features_and_loaders_of_nothing_are_said_plainly(features: mmfs.FeatureStore) -> None:
    with pytest.raises(FeatureError, match=r"'clip'.*clip_embeddings"):
        features.plan("clip")
    with pytest.raises(LoaderError, match="pin or columns"):
        features.loader(batch_size=4)
    assert features.plan("clip_embeddings").missing == 10
