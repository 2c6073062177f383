"""Upkeep as assets: what they do, how they say what is wrong, and that one that fails stops no other."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import dagster as dg
import pytest

from mmfs.errors import StoreError
from mmfs_assets.assets.maintenance import COMPACTION, VACUUM, VERIFICATION, maintenance_assets
from mmfs_assets.definitions import definitions_for
from tests.assets.conftest import World

PARTS = [COMPACTION, VACUUM, VERIFICATION]
CHECKS = {
    COMPACTION: "packs_are_sound",
    VACUUM: "nothing_keeps_vacuum_from_its_work",
    VERIFICATION: "store_is_sound",
}


def maintain(world: World, **ops: Any) -> dg.ExecuteInProcessResult:
    job = definitions_for(world.settings).resolve_job_def("maintenance")
    with world.instance() as instance:
        return job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def figures(result: dg.ExecuteInProcessResult, part: str) -> dict[str, Any]:
    [made] = result.asset_materializations_for_node(part)
    return {name: value.value for name, value in made.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.asset_key.to_user_string(): found for found in result.get_asset_check_evaluations()}


def first_pack(world: World) -> str:
    pack: str = world.store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py()
    return pack


def test_a_sound_store_is_compacted_vacuumed_and_verified_in_this_order(done: World) -> None:
    done.store.tables.update("frames", "000000", lambda rows: rows.slice(0, 1))
    result = maintain(done)
    steps = [event.step_key for event in result.all_events if event.is_step_start]
    assert steps == PARTS
    compacted = figures(result, COMPACTION)
    assert (compacted["shards_rewritten"], compacted["problems"]) == (1, 0)
    assert compacted["dead_share_before"] > 0
    assert figures(result, VACUUM)["bytes_freed"] == 0, "history of the last days stays"
    assert {name: check.check_name for name, check in checks(result).items()} == CHECKS


def test_verification_of_a_sound_store_passes_and_says_what_it_looked_at(done: World) -> None:
    result = maintain(done)
    assert result.success
    found = figures(result, VERIFICATION)
    assert (found["problems"], found["blobs"] > 0, found["rows"] > 0) == (0, True, True)
    assert all(check.passed for check in checks(result).values())


def test_compaction_makes_nothing_stale(done: World) -> None:
    done.store.tables.update("frames", "000000", lambda rows: rows.slice(0, 1))
    assert done.materialize("frames").failures == {}, "the other frame comes back, in a pack of its own"
    result = maintain(done)
    assert result.success
    assert figures(result, COMPACTION)["shards_rewritten"] >= 1
    assert done.materialize().runs == []


def test_a_part_that_fails_says_what_is_wrong_and_the_others_run(done: World) -> None:
    pack = first_pack(done)
    done.store.objects.delete(pack)
    done.store.objects.put("pins/broken.json", b"{")
    result = maintain(done)
    assert not result.success
    failures = {
        event.step_key: str(event.step_failure_data.user_failure_data)
        for event in result.all_events
        if event.is_step_failure
    }
    assert set(failures) == set(PARTS)
    assert pack in failures[COMPACTION]
    assert "broken" in failures[VACUUM]
    assert pack in failures[VERIFICATION]
    for part, check in checks(result).items():
        assert not check.passed, part
        assert check.severity == dg.AssetCheckSeverity.ERROR
    assert pack in str(checks(result)[VERIFICATION].description)
    assert figures(result, VERIFICATION)["problems"] >= 2


def test_a_part_that_could_not_work_is_no_materialization(done: World, monkeypatch: pytest.MonkeyPatch) -> None:
    away = StoreError("the bucket does not answer", mend="wait until it does")
    monkeypatch.setattr("mmfs.store.Store.compact", Mock(side_effect=away))
    result = maintain(done)
    assert not result.success
    assert result.asset_materializations_for_node(COMPACTION) == []
    assert not checks(result)[COMPACTION].passed
    assert checks(result)[COMPACTION].description == str(away)
    assert len(result.asset_materializations_for_node(VERIFICATION)) == 1


def test_flipped_bits_are_found_when_verification_is_deep(done: World) -> None:
    row = done.store.tables.read("frames", columns=["pack", "offset"], shard="000001").to_pylist()[0]
    path = done.store.objects.local_path(row["pack"])
    assert path is not None
    damaged = bytearray(path.read_bytes())
    damaged[row["offset"] + 9] ^= 1
    path.write_bytes(damaged)
    result = maintain(done, verification={"config": {"deep": True}})
    assert row["pack"] in str(checks(result)[VERIFICATION].description)


def test_an_index_whose_points_differ_from_their_rows_is_found(done: World) -> None:
    info = done.store.tables.commit_info("clip_embeddings", "000000")
    done.store.tables.update("clip_embeddings", "000000", lambda rows: rows.slice(1), info=info)
    result = maintain(done)
    assert "1 points in the index of clip_embeddings are of rows that are gone" in str(
        checks(result)[VERIFICATION].description
    )


def test_vacuum_takes_how_many_days_it_keeps(done: World) -> None:
    done.store.tables.update("captions", "000000", lambda rows: rows.slice(0, 1))
    result = maintain(done, vacuum={"config": {"keep_days": 0.0}})
    assert figures(result, VACUUM)["data_files_deleted"] >= 1


@pytest.mark.parametrize("asset", maintenance_assets(), ids=PARTS)
def test_a_part_depends_on_nothing_and_no_automation_runs_it(asset: dg.AssetsDefinition) -> None:
    [spec] = asset.specs
    assert (list(spec.deps), spec.automation_condition, spec.group_name) == ([], None, "operations")
    assert spec.partitions_def is None
    assert spec.owners
    assert spec.description
