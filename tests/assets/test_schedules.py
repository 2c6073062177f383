"""Every night: one backfill of what is missing or stale; maintenance on its own."""

from __future__ import annotations

import dagster as dg
from dagster._core.execution.backfill import PartitionBackfill

from mmfs.settings import Settings
from mmfs_assets.automation.schedules import nightly
from mmfs_assets.definitions import definitions_for
from mmfs_resources import StoreResource
from tests.assets.conftest import World

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _night(world: World, instance: dg.DagsterInstance) -> list[PartitionBackfill]:
    """One run of the job; all backfills afterwards, newest first."""
    resources = {"store": StoreResource.of(world.settings)}
    assert nightly.execute_in_process(instance=instance, resources=resources, run_config=_QUIET).success
    return list(instance.get_backfills())


def test_a_night_launches_one_backfill_of_exactly_what_is_stale_and_none_of_what_is_under_way(done: World) -> None:
    graph = definitions_for(done.settings).resolve_asset_graph()
    with done.instance() as instance:
        assert _night(done, instance) == []
        done.store.tables.update("captions", "000000", lambda rows: rows.slice(0, 1))
        [backfill] = _night(done, instance)
        assert (backfill.title, backfill.is_asset_backfill) == ("nightly", True)
        target = backfill.get_asset_backfill_data(graph).target_subset
        stale = {
            key.to_user_string(): set(subset.get_partition_keys())
            for key, subset in target.partitions_subsets_by_asset_key.items()
        }
        assert stale == {asset: {"000000"} for asset in ("captions", "text_embeddings", "qdrant_index")}
        assert _night(done, instance) == [backfill]


def test_both_schedules_ask_for_one_run_a_night_and_are_on_only_where_places_are_watched() -> None:
    for watch, status in (((), "STOPPED"), (("/media",), "RUNNING")):
        repository = definitions_for(Settings(watch=watch)).get_repository_def()
        schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
        assert {name: one.cron_schedule for name, one in schedules.items()} == {
            "nightly": "0 1 * * *",
            "maintenance": "0 4 * * *",
        }
        assert {one.default_status.value for one in schedules.values()} == {status}
        for schedule in schedules.values():
            requests = schedule.evaluate_tick(dg.build_schedule_context()).run_requests
            assert requests is not None
            assert len(requests) == 1


def test_maintenance_is_expected_nightly_only_where_places_are_watched() -> None:
    for watch in ((), ("/media",)):
        graph = definitions_for(Settings(watch=watch)).resolve_asset_graph()
        expected = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy}
        assert expected == ({"compaction", "vacuum", "verification"} if watch else set())
