"""Columns that came to a table after some of its files were written."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmfs.client import FeatureStore
from mmfs.errors import PinError
from mmfs.schemas import Column, feature_table
from mmfs.store import Store
from tests.conftest import add_frames, add_media, media_id

NUMBER, TEXT = Column("score", pa.float32(), "Score."), Column("label", pa.string(), "Label.")


@pytest.fixture
def features(store: Store) -> FeatureStore:
    """Two shards of two frames; the second was written after ``score`` and ``label`` came."""
    for shard, number in (("000001", 0), ("000002", 1)):
        add_media(store, shard, [number])
        add_frames(store, shard, [number], per_media=2)
        later = (NUMBER, TEXT) if number else ()
        store.tables.ensure(feature_table("scores", "Scores.", "frame", (Column("old", pa.int64(), "Old."), *later)))
        rows = {"media_id": [media_id(number)] * 2, "frame_index": [0, 1], "old": [7, 8]}
        new = {"score": pa.array([0.25, 0.5], pa.float32()), "label": ["a", "b"]} if number else {}
        planned = store.tables.state("scores", shard)
        store.tables.replace("scores", shard, pa.table({**rows, **new}), planned=planned)
    return FeatureStore(store)


def test_rows_without_them_are_absent_as_pinned(features: FeatureStore) -> None:
    columns = ["scores.old", "scores.score", "scores.label"]
    with pytest.raises(PinError, match="2 of the 4 selected"):
        features.pin("strict", columns=columns)
    features.pin("nulls", columns=columns, missing="null")
    [batch] = list(features.loader("nulls", batch_size=4, shuffle=False))
    assert batch["scores.old"].tolist() == [7, 8, 7, 8]
    assert batch["scores.score"].tolist() == [0, 0, 0.25, 0.5]
    assert batch["scores.score:present"].tolist() == batch["scores.label:present"].tolist() == [False] * 2 + [True] * 2
    assert batch["scores.label"][2:] == ["a", "b"]
    features.pin("skipping", columns=columns, missing="skip")
    [batch] = list(features.loader("skipping", batch_size=2, shuffle=False))
    assert batch["scores.score"].tolist() == [0.25, 0.5]
