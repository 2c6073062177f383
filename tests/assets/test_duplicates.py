"""The asset ``duplicates``: one run for the whole store, and none when nothing changed."""

from __future__ import annotations

import dagster as dg

from mmfs.curation.duplicates_table import TABLE, is_fresh
from mmfs_assets.assets import duplicates
from tests.assets.conftest import World

KEY = dg.AssetKey(TABLE)


def _last(world: World) -> dg.AssetMaterialization:
    with world.instance() as instance:
        event = instance.get_latest_materialization_event(KEY)
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


def test_a_full_run_fills_the_table_and_says_what_it_found(finished: World) -> None:
    store = finished.store
    rows = store.tables.read(TABLE)
    assert rows.num_rows == store.tables.read("frames").num_rows == 5
    assert is_fresh(store)
    made = _last(finished)
    figures = {name: value.value for name, value in made.metadata.items()}
    assert figures["rows"] == figures["dagster/row_count"] == 5
    assert figures["dropped"] == 5 - rows["is_kept"].to_pylist().count(True)
    assert figures["fingerprint"] == rows["fingerprint"][0].as_py()
    assert (made.tags or {})["dagster/data_version"] == store.tables.digest(TABLE)
    with finished.instance() as instance:
        check = dg.AssetCheckKey(KEY, "groups_are_sound")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
        assert record.status.value == "SUCCEEDED"
        assert duplicates.is_current(instance, store)


def test_it_runs_again_only_when_something_that_decides_it_changed(done: World) -> None:
    assert done.materialize(TABLE).runs == []
    version = done.store.tables.version(TABLE)
    asked_for = done.materialize(TABLE, missing=False)
    assert (asked_for.failures, asked_for.computed[TABLE]) == ({}, 0)
    assert done.store.tables.version(TABLE) == version
    done.store.tables.update(TABLE, "000000", lambda rows: rows.slice(1))
    again = done.materialize(TABLE)
    assert len(again.runs) == 1
    assert again.computed[TABLE] == 5
    assert done.materialize(TABLE).runs == []


def test_without_vectors_the_run_fails_and_says_what_to_materialize(fresh: World) -> None:
    [[failure]] = fresh.materialize(TABLE).failures.values()
    assert "materialize clip_embeddings" in failure


def test_it_stands_below_vectors_and_quality_and_has_no_partitions() -> None:
    [spec] = duplicates.duplicates().specs
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == {"clip_embeddings", "frame_quality"}
    assert spec.partitions_def is None
    assert list(spec.owners) == ["team:mmfs"]
