"""The condition of all assets over shards, tick by tick."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.instance.types import CachingDynamicPartitionsLoader

from mmfs.settings import FramesConfig, Settings
from mmfs_assets.automation.conditions import automation_sensor, new_or_stale
from mmfs_assets.definitions import definitions_for
from mmfs_assets.partitions import SHARDS
from tests.assets.conftest import ASSETS

#: Three of the assets in a row; a tick over all takes four times as long.
CHAIN = ("raw_media", "frames", "clip_embeddings")
DEFINITIONS = definitions_for(Settings())


@dataclass
class Watched:
    """Definitions under automation, and the history that they look at."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    assets: tuple[str, ...] = CHAIN
    cursor: object = None
    results: list = field(default_factory=list)

    def listed(self, *shards: str) -> None:
        """What the sensor does when files came to these shards."""
        self.instance.add_dynamic_partitions("shard", list(shards))
        self.written("listings", *shards)

    def written(self, asset: str, *shards: str) -> None:
        for shard in shards:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=shard))

    def tick(self) -> dict[str, set[str]]:
        """What is asked for now: shards by asset."""
        # The daemon asks for the partitions once a tick.
        with partition_loading_context(dynamic_partitions_store=CachingDynamicPartitionsLoader(self.instance)):
            result = dg.evaluate_automation_conditions(
                self.definitions,
                self.instance,
                asset_selection=dg.AssetSelection.assets(*self.assets),
                cursor=self.cursor,
            )
            self.cursor, self.results = result.cursor, result.results
        asked = {name: result.get_requested_partitions(dg.AssetKey(name)) for name in self.assets}
        return {name: set(shards) for name, shards in asked.items() if shards}

    def two_ticks(self) -> dict[str, set[str]]:
        """What is asked for at the second: that an input was written must be seen twice."""
        assert self.tick() == {}
        return self.tick()

    def finish(self, *shards: str) -> None:
        """What a run of the whole chain does."""
        for asset in self.assets:
            self.written(asset, *shards)


@pytest.fixture
def watched() -> Iterator[Watched]:
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(instance, DEFINITIONS)


def whole_chain(*shards: str) -> dict[str, set[str]]:
    return {asset: set(shards) for asset in CHAIN}


def test_shards_that_were_there_before_anybody_watched_are_asked_for_once(watched: Watched) -> None:
    watched.listed("000000", "000001")
    watched.finish("000000")
    assert watched.tick() == whole_chain("000001")
    assert watched.tick() == {}
    watched.finish("000001")
    assert watched.tick() == watched.tick() == {}


def test_nothing_is_asked_for_where_nothing_is_listed(watched: Watched) -> None:
    assert watched.tick() == watched.tick() == {}


def test_a_new_shard_and_a_shard_that_grew_are_asked_for_with_the_whole_chain(watched: Watched) -> None:
    watched.listed("000000")
    watched.finish("000000")
    assert watched.tick() == {}
    watched.listed("000001")
    assert watched.tick() == whole_chain("000001")
    watched.finish("000001")
    assert watched.tick() == {}
    watched.written("listings", "000001")
    assert watched.two_ticks() == whole_chain("000001")
    watched.finish("000001")
    assert watched.two_ticks() == {}


def test_a_shard_whose_listing_is_not_reported_yet_waits_for_it(watched: Watched) -> None:
    watched.instance.add_dynamic_partitions("shard", ["000000"])
    assert watched.tick() == {}
    watched.written("listings", "000000")
    assert watched.tick() == whole_chain("000000")


def test_what_is_written_upstream_makes_what_stands_below_it_run_and_nothing_else(watched: Watched) -> None:
    watched.listed("000000", "000001")
    watched.finish("000000", "000001")
    watched.tick()
    watched.written("frames", "000001")
    assert watched.two_ticks() == {"clip_embeddings": {"000001"}}


def test_another_code_version_asks_for_all_shards_of_the_asset_and_below(watched: Watched) -> None:
    watched.listed("000000", "000001")
    watched.finish("000000", "000001")
    assert watched.tick() == {}
    watched.definitions = definitions_for(Settings(frames=FramesConfig(short_side=20)))
    assert watched.tick() == {asset: {"000000", "000001"} for asset in ("frames", "clip_embeddings")}
    assert watched.tick() == {}


def test_another_code_version_is_not_forgotten_where_a_run_of_the_old_code_writes_afterwards(watched: Watched) -> None:
    watched.listed("000000", "000001")
    watched.finish("000000", "000001")
    assert watched.tick() == {}
    watched.definitions = definitions_for(Settings(frames=FramesConfig(short_side=20)))
    watched.written("frames", "000000")
    assert watched.tick() == {asset: {"000000", "000001"} for asset in ("frames", "clip_embeddings")}
    watched.written("frames", "000000", "000001")
    watched.written("clip_embeddings", "000000", "000001")
    assert watched.tick() == watched.tick() == {}


def test_a_shard_that_fails_is_asked_for_again_only_when_its_listing_changes(watched: Watched) -> None:
    watched.listed("000000")
    assert watched.tick() == whole_chain("000000")
    assert [watched.tick() for _ in range(3)] == [{}] * 3
    watched.written("listings", "000000")
    assert watched.two_ticks() == whole_chain("000000")


def test_where_others_failed_upstream_the_finished_shards_go_on_and_the_failing_one_is_tried_once_more(
    watched: Watched,
) -> None:
    watched.listed("000000", "000001")
    assert watched.tick() == whole_chain("000000", "000001")
    watched.written("raw_media", "000000")  # and raw_media of 000001 failed
    assert watched.two_ticks() == {asset: {"000000"} for asset in CHAIN[1:]}
    watched.written("frames", "000000")  # and clip_embeddings failed, so that nothing came below
    assert watched.two_ticks() == {asset: {"000000"} for asset in CHAIN[2:]}
    assert watched.tick() == watched.tick() == {}


@dg.asset(partitions_def=SHARDS, automation_condition=new_or_stale())
def above() -> None:
    """Ends well."""


@dg.asset(partitions_def=SHARDS, automation_condition=new_or_stale(), deps=[above])
def below() -> None:
    """Fails."""
    raise dg.Failure("no", allow_retries=False)


def test_a_step_that_failed_is_tried_once_more_after_a_pause_in_which_dagster_may_try_again_itself() -> None:
    definitions, cursor = dg.Definitions(assets=[above, below]), None
    job = definitions.resolve_implicit_global_asset_job_def()
    began = datetime.now(UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shard", ["000000"])
        asked = []
        for minutes in (0, 0.5, 11, 12, 25, 40):
            result = dg.evaluate_automation_conditions(
                definitions, instance, cursor=cursor, evaluation_time=began + timedelta(minutes=minutes)
            )
            cursor = result.cursor
            keys = [key for key in (above.key, below.key) if result.get_requested_partitions(key)]
            asked.append(keys)
            if keys:
                job.execute_in_process(
                    instance=instance, partition_key="000000", asset_selection=keys, raise_on_error=False
                )
        assert asked == [[above.key, below.key], [], [below.key], [], [], []]


def test_two_hundred_shards_at_once_become_one_backfill_of_the_whole_chain(watched: Watched) -> None:
    shards = [f"{number:06d}" for number in range(200)]
    watched.assets = tuple(ASSETS)
    watched.listed(*shards)
    assert watched.tick() == {asset: set(shards) for asset in ASSETS}
    graph = watched.definitions.resolve_asset_graph()
    [request] = build_run_requests([r.true_subset for r in watched.results], graph, run_tags=None, emit_backfills=True)
    subset = request.asset_graph_subset
    assert subset is not None
    assert {key.to_user_string() for key in subset.asset_keys} == set(ASSETS)
    assert subset.num_partitions_and_non_partitioned_assets == 200 * len(ASSETS)


def test_only_assets_over_shards_have_a_condition_and_the_sensor_is_on_only_where_places_are_watched(
    watched: Watched, tmp_path: Path
) -> None:
    graph = watched.definitions.resolve_asset_graph()
    conditioned = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).automation_condition}
    assert conditioned == set(ASSETS)
    assert automation_sensor(Settings(), ASSETS).default_status == dg.DefaultSensorStatus.STOPPED
    watching = automation_sensor(Settings(watch=(str(tmp_path),)), ASSETS)
    assert watching.default_status == dg.DefaultSensorStatus.RUNNING
