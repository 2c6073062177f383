"""Asset checks find what is wrong, say where, and stay red until it is mended."""

from __future__ import annotations

import dagster as dg
import pyarrow as pa

from mmfs.features.checks import odd_depth
from mmfs.ingest.checks import captions_of_nothing
from mmfs.search.checks import index_differences
from mmfs.store import Store
from tests.assets.conftest import World


def _evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def _stretch(store: Store, shard: str) -> None:
    def longer(rows: pa.Table) -> pa.Table:
        vectors = [[2 * value for value in row] for row in rows["vector"].to_pylist()]
        column = pa.array(vectors, rows.schema.field("vector").type)
        return rows.set_column(rows.column_names.index("vector"), rows.schema.field("vector"), column)

    store.tables.update("clip_embeddings", shard, longer)


def test_everything_passes_on_a_sound_store_but_the_broken_file_is_shown(finished: World) -> None:
    with finished.instance() as instance:
        keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for asset, name in SOUND]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        assert [found[key].status.value for key in keys] == ["SUCCEEDED"] * len(keys)
        few = dg.AssetCheckKey(dg.AssetKey("raw_media"), "few_files_are_quarantined")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([few])[few]
    assert record.status.value == "FAILED"
    event = record.event.dagster_event if record.event else None
    assert event is not None
    assert event.asset_check_evaluation_data.severity == dg.AssetCheckSeverity.WARN
    assert "000002: 1 of 2 files (50.0%) are in quarantine" in (event.asset_check_evaluation_data.description or "")


SOUND = [
    ("raw_media", "every_file_is_accounted_for"),
    ("clip_embeddings", "vectors_are_sound"),
    ("depth_maps", "depth_is_finite"),
    ("qdrant_index", "index_equals_table"),
]


def test_a_vector_that_is_not_of_unit_length_is_named_until_it_is_mended(done: World) -> None:
    _stretch(done.store, "000000")
    first = _evaluations(done.run("clip_embeddings", "000000"))["vectors_are_sound"]
    assert not first.passed
    assert "rows of column vector are not of unit length, first" in (first.description or "")

    other = _evaluations(done.run("clip_embeddings", "000001"))["vectors_are_sound"]
    assert not other.passed
    assert other.metadata["failing_shards"].value == ["000000"]

    done.store.tables.update("clip_embeddings", "000000", lambda rows: rows.slice(0, 0))
    mended = _evaluations(done.run("clip_embeddings", "000000"))["vectors_are_sound"]
    assert mended.passed


def test_captions_of_media_that_are_gone_are_counted(done: World) -> None:
    done.store.tables.update("raw_media", "000000", lambda rows: rows.slice(1))
    [problem] = captions_of_nothing(done.store, "000000")
    assert str(problem).startswith("1 media have captions but no row, first ")


def test_depth_beyond_what_its_row_says_is_found(done: World) -> None:
    def lifted(rows: pa.Table) -> pa.Table:
        lowest = pa.array([1e6] * rows.num_rows, pa.float32())
        return rows.set_column(rows.column_names.index("depth_min"), "depth_min", lowest)

    done.store.tables.update("depth_maps", "000000", lifted)
    [problem] = odd_depth(done.store, "depth_maps", "000000")
    assert problem.what == "2 of 2 rows have depth outside of depth_min and depth_max"


def test_an_index_that_lacks_rows_is_seen(done: World) -> None:
    store = done.store
    assert index_differences(store, "clip_embeddings", "000000") == []
    info = store.tables.commit_info("clip_embeddings", "000000")
    store.tables.update("clip_embeddings", "000000", lambda rows: rows.slice(1), info=info)
    [problem] = index_differences(store, "clip_embeddings", "000000")
    assert problem.what == "1 points in the index of clip_embeddings are of rows that are gone"
