from __future__ import annotations

import json

import pyarrow as pa
import pytest

from mmfs.errors import StoreError
from mmfs.store import Store
from mmfs.store.subsets import Provenance, save_subset, subset_names, subset_rows
from tests.conftest import media_id

NOW_US = 1_700_000_000_000_000


def _frames(*pairs: tuple[int, int], **columns: list[float]) -> pa.Table:
    keys = {"media_id": [media_id(number) for number, _ in pairs], "frame_index": [index for _, index in pairs]}
    return pa.table({**keys, **columns})


def test_a_subset_keeps_rank_score_and_where_it_came_from(store: Store) -> None:
    chosen = _frames((2, 0), (1, 5), score=[0.9, 0.4])
    provenance = Provenance(query="a cat", where="width > 5", model="m", build_id="b", source_versions={"frames": 3})
    saved = save_subset(store, "cats", chosen, provenance, now_us=NOW_US)
    assert (saved.grain, saved.samples) == ("frame", 2)
    rows = subset_rows(store, "cats").to_pylist()
    assert [row["key"] for row in rows] == [f"{media_id(2)}:0", f"{media_id(1)}:5"]
    assert [row["score"] for row in rows] == [0.9, 0.4]
    assert rows[0]["query"] == "a cat"
    assert json.loads(rows[0]["source_versions"]) == {"frames": 3}


def test_saving_again_replaces_the_subset_and_no_other(store: Store) -> None:
    save_subset(store, "a", _frames((1, 0), (2, 0)), Provenance(), now_us=NOW_US)
    save_subset(store, "b", _frames((3, 0)), Provenance(), now_us=NOW_US)
    save_subset(store, "a", _frames((4, 0)), Provenance(), now_us=NOW_US)
    assert subset_rows(store, "a")["media_id"].to_pylist() == [media_id(4)]
    assert subset_rows(store, "b")["media_id"].to_pylist() == [media_id(3)]
    assert subset_names(store) == ["a", "b"]


def test_a_sample_that_comes_twice_keeps_its_better_rank(store: Store) -> None:
    saved = save_subset(store, "twice", _frames((1, 0), (2, 0), (1, 0)), Provenance(), now_us=NOW_US)
    assert saved.samples == 2
    assert subset_rows(store, "twice")["rank"].to_pylist() == [0, 1]


def test_keys_as_people_see_them_are_accepted(store: Store) -> None:
    saved = save_subset(store, "keys", pa.table({"key": [f"{media_id(1)}:3"]}), Provenance(), now_us=NOW_US)
    assert saved.grain == "frame"
    media = save_subset(store, "media", pa.table({"key": [media_id(1)]}), Provenance(), now_us=NOW_US)
    assert media.grain == "media"


def test_part_of_a_subset_can_be_saved_as_another_of_the_same_grain(store: Store) -> None:
    save_subset(store, "all", _frames((1, 0), (1, 4), (2, 3)), Provenance(), now_us=NOW_US)
    saved = save_subset(store, "some", subset_rows(store, "all").slice(1), Provenance(), now_us=NOW_US)
    assert (saved.grain, saved.samples) == ("frame", 2)
    assert subset_rows(store, "some")["key"].to_pylist() == [f"{media_id(1)}:4", f"{media_id(2)}:3"]


@pytest.mark.parametrize("name", ["", "../up", "a b", "x'; DROP TABLE subsets", "a/b", "-" * 3])
def test_a_name_that_could_mean_something_else_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="no name for a subset"):
        save_subset(store, name, _frames((1, 0)), Provenance(), now_us=NOW_US)


def test_nothing_chosen_and_no_keys_are_said_plainly(store: Store) -> None:
    with pytest.raises(StoreError, match="would be empty"):
        save_subset(store, "none", _frames(), Provenance(), now_us=NOW_US)
    with pytest.raises(StoreError, match=r"no key columns.*score"):
        save_subset(store, "none", pa.table({"score": [0.1]}), Provenance(), now_us=NOW_US)


def test_an_unknown_subset_is_answered_with_those_that_exist(store: Store) -> None:
    save_subset(store, "cats", _frames((1, 0)), Provenance(), now_us=NOW_US)
    with pytest.raises(StoreError, match=r"no subset 'dogs'.*cats"):
        subset_rows(store, "dogs")
