"""Random samples, and the neighbours of one sample."""

from __future__ import annotations

from collections import Counter

import pytest

from mmfs.client import FeatureStore
from mmfs.errors import SearchError, WhereError
from mmfs.store import Store
from tests.search.world import media_id, replace

TABLE = "colour_embeddings"


def test_a_seed_draws_the_same_samples_and_a_smaller_draw_begins_a_larger_one(indexed: Store) -> None:
    features = FeatureStore(indexed)
    ten = features.sample(10, seed=3).table["key"].to_pylist()
    assert len(set(ten)) == 10
    assert features.sample(4, seed=3).table["key"].to_pylist() == ten[:4]
    assert features.sample(10, seed=4).table["key"].to_pylist() != ten


def test_every_sample_is_as_likely_as_any_other(indexed: Store) -> None:
    features = FeatureStore(indexed)
    drawn = Counter(key for seed in range(300) for key in features.sample(5, seed=seed).table["key"].to_pylist())
    assert len(drawn) == 23
    assert all(35 < count < 105 for count in drawn.values())  # 65 expected, 7 the standard deviation


def test_a_sample_has_columns_a_gallery_and_no_scores_and_can_be_saved(fresh: Store) -> None:
    features = FeatureStore(fresh)
    hits = features.sample(100, where="kind = 'image'")
    assert sorted(int(name, 16) for name in hits.table["media_id"].to_pylist()) == [0, 3, 11]
    assert hits.table["score"].null_count == 3
    assert hits.info.summary().startswith("3 rows of frames (version 2)")
    assert hits._repr_html_().count("data:image/jpeg") == 3
    features.subset("some").save(hits)
    saved = features.subset("some").to_arrow().to_pylist()[0]
    assert (saved["query"], saved["where"]) == ("100 samples at random, seed 0", "kind = 'image'")
    assert features.sample(9, grain="media").table.column_names[:2] == ["media_id", "key"]


def test_what_was_taken_down_is_not_drawn_and_nothing_is_said_plainly(fresh: Store) -> None:
    replace(fresh, "tombstones", "000000", [{"media_id": media_id(0), "reason": "asked", "at_us": 1, "receipt": "{}"}])
    features = FeatureStore(fresh)
    assert media_id(0) not in features.sample(100).table["media_id"].to_pylist()
    assert features.sample(5, where="width < 0").info.nothing == "no row meets the condition"
    with pytest.raises(SearchError, match="n = 0"):
        features.sample(0)
    with pytest.raises(WhereError, match="widht"):
        features.sample(1, where="widht > 1")


def test_neighbours_are_the_nearest_others(indexed: Store) -> None:
    features = FeatureStore(indexed)
    key = f"{media_id(2)}:1"
    found = features.neighbours(key, 2, space=TABLE)
    assert set(found.table["key"].to_pylist()) == {f"{media_id(2)}:0", f"{media_id(2)}:2"}
    assert len(features.neighbours(key, 6, space=TABLE, group="media")) == 6
    with pytest.raises(SearchError, match="is not in the index"):
        features.neighbours(f"{media_id(2)}:9", space=TABLE)
