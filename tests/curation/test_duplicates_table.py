"""The table ``duplicates``: kept for the whole store, computed again when anything that decides it changes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from mmfs.client import FeatureStore
from mmfs.curation.duplicates_table import TABLE, duplicates_differences, is_fresh, update_duplicates
from mmfs.settings import DuplicatesConfig, Settings
from mmfs.store import Store
from tests.curation.world import SPACE, fill, frame_key, put, unit

#: Frames 0 and 1 are nearly the same, in different shards; 2 and 3 are unlike all others.
VECTORS = unit([[1, 0, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1]])
HASHES = [1, 0xFF << 20, 0xFF << 30, 0xFF << 40]


def _kept(store: Store) -> list[str]:
    rows = store.sql(f"SELECT media_id, frame_index FROM {TABLE} WHERE is_kept ORDER BY media_id")
    return [f"{row['media_id']}:{row['frame_index']}" for row in rows.to_pylist()]


def test_rows_lie_beside_their_frames_and_a_second_call_computes_nothing(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    first = update_duplicates(store)
    assert (first.rows, first.computed, first.groups, first.dropped, first.changed) == (4, 4, 1, 1, True)
    assert store.tables.shards(TABLE) == store.tables.shards("frames")
    assert _kept(store) == [frame_key(0), frame_key(2), frame_key(3)]
    second = update_duplicates(store)
    assert (second.computed, second.changed, second.version, second.digest) == (0, False, first.version, first.digest)
    assert set(store.tables.read(TABLE)["fingerprint"].to_pylist()) == {first.fingerprint}
    assert store.tables.commit_info(TABLE, "000000")["provenance"].startswith("duplicates(threshold=0.95")


def test_a_new_frame_a_new_vector_and_a_new_rule_make_it_stale(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    update_duplicates(store)
    fill(store, np.concatenate([VECTORS, unit([[0, 1, 0.02]])]), hashes=[*HASHES, 0xFF << 50])
    assert not is_fresh(store)
    assert (update_duplicates(store).dropped, _kept(store)) == (2, [frame_key(0), frame_key(2), frame_key(3)])
    fill(store, VECTORS, hashes=HASHES)
    assert update_duplicates(store).rows == 4
    strict = Store.open(store.url, settings=Settings(duplicates=DuplicatesConfig(threshold=1.0, max_hamming=0)))
    assert not is_fresh(strict)
    assert update_duplicates(strict).dropped == 0
    assert is_fresh(strict)


def test_a_shard_that_went_away_takes_its_rows_along(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    update_duplicates(store)
    for table in ("frames", SPACE, "frame_quality"):
        store.tables.update(table, "000001", lambda rows: rows.slice(0, 0))
    report = update_duplicates(store)
    assert (report.rows, report.dropped) == (2, 0)
    assert is_fresh(store)


def test_what_a_killed_run_left_behind_is_stale_and_the_next_run_mends_it(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    update_duplicates(store)
    whole, info = store.tables.read(TABLE), store.tables.commit_info(TABLE, "000000")
    old = pa.array(["older"] * 2, pa.string())
    at = whole.column_names.index("fingerprint")
    shard = store.tables.read(TABLE, shard="000001").set_column(at, "fingerprint", old)
    put(store, TABLE, "000001", shard, {**info, "fingerprint": "older"})
    assert duplicates_differences(store) == ["shards hold rows of 2 answers: materialize duplicates again"]
    assert not is_fresh(store)
    update_duplicates(store)
    assert store.tables.read(TABLE).equals(whole)
    store.tables.update(TABLE, "000001", lambda rows: rows.slice(0, 0))
    assert not is_fresh(store)
    assert update_duplicates(store).rows == 4
    assert duplicates_differences(store) == []


def test_a_group_of_which_nothing_is_kept_is_found(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    update_duplicates(store)
    store.tables.update(TABLE, "000000", lambda rows: rows.slice(1))
    assert duplicates_differences(store) == [
        f"1 frames are of a group whose {frame_key(0)} is not kept: materialize duplicates again"
    ]


def test_a_store_without_frames_is_fresh_and_has_no_rows(store: Store) -> None:
    assert is_fresh(store)
    assert (update_duplicates(store).rows, duplicates_differences(store)) == (0, [])


def test_training_leaves_duplicates_out_with_one_condition(store: Store) -> None:
    fill(store, VECTORS, hashes=HASHES)
    update_duplicates(store)
    lab = FeatureStore(store)
    pin = lab.pin("clean", columns=[f"{SPACE}.vector", f"{TABLE}.is_kept"], where="is_kept")
    assert pin.samples == 3
    batch = next(iter(lab.loader("clean", batch_size=3)))
    assert sorted(batch["_key"]) == [frame_key(0), frame_key(2), frame_key(3)]
    assert batch["duplicates.is_kept"].all()


def test_the_rule_is_recorded_with_the_store(store: Store) -> None:
    record = json.loads(store.objects.get("store.json"))
    assert record["recorded"]["duplicates"] == {"threshold": 0.95, "max_hamming": 4, "keep": "largest"}
    with pytest.raises(ValueError, match="max_hamming"):
        DuplicatesConfig(max_hamming=40)
