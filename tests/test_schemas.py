from __future__ import annotations

import pytest

from mmfs.errors import StoreError
from mmfs.schemas import BASE_TABLES, GRAIN_KEYS, VectorType, feature_table, vector_column


def test_every_column_is_described_and_every_key_exists() -> None:
    for spec in BASE_TABLES.values():
        assert spec.description
        names = [column.name for column in spec.columns]
        assert len(names) == len(set(names)), spec.name
        assert set(spec.key) <= {*names, "shard"}
        assert all(column.description for column in spec.columns), spec.name


def test_a_feature_table_has_the_key_of_its_grain_and_a_fingerprint() -> None:
    vector = vector_column("vector", "Embedding.", VectorType(8))
    spec = feature_table("my_feature", "Mine.", "frame", (vector,))
    assert spec.key == ("media_id", "frame_index") == tuple(column.name for column in GRAIN_KEYS["frame"])
    assert spec.is_derived
    field = spec.arrow_schema().field("vector")
    assert field.metadata[b"mmfs.vector.dim"] == b"8"


def test_an_unknown_column_is_answered_with_those_that_exist() -> None:
    with pytest.raises(StoreError, match=r"no column 'hight'.*height"):
        BASE_TABLES["raw_media"].column("hight")
