"""What `mmfs materialize --launch` hands to Dagster's daemon, and what comes of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.types import DaemonHeartbeat
from typer.testing import CliRunner

from mmfs.errors import SettingsError
from mmfs_assets.commands import app
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.backfill import launch_backfill, require_daemon
from mmfs_assets.planning.launch import Launched, launch_missing
from tests.assets.conftest import FEATURE_ASSETS, SHARDS, World
from tests.deployment import Deployment, deployed

WHOLE = {"duplicates", "demo_training_run"}


def _sets(world: World, backfill: PartitionBackfill) -> dict[str, list[str]]:
    target = backfill.get_asset_backfill_data(definitions_for(world.settings).resolve_asset_graph()).target_subset
    sharded = target.partitions_subsets_by_asset_key.items()
    sets = {key.to_user_string(): sorted(subset.get_partition_keys()) for key, subset in sharded}
    return sets | {key.to_user_string(): [] for key in target.non_partitioned_asset_keys}


def _found(world: World, instance: dg.DagsterInstance) -> dict[str | None, dict[str, list[str]]]:
    """What each backfill holds, by title."""
    return {backfill.title: _sets(world, backfill) for backfill in instance.get_backfills()}


def test_a_launch_holds_the_exact_shards_of_each_asset_and_the_whole_stores_assets_follow(fresh: World) -> None:
    assert fresh.run("depth_maps", "000001").success
    with fresh.instance() as instance:
        launched = launch_missing(fresh.settings, instance, title="tonight")
        assert _found(fresh, instance) == {
            "tonight": {
                **dict.fromkeys([*FEATURE_ASSETS, "qdrant_index"], SHARDS),
                "depth_maps": ["000000", "000002"],
                **{asset: [] for asset in WHOLE},
            }
        }
        again = launch_missing(fresh.settings, instance, title="again")
        assert again == Launched((), busy=tuple(SHARDS), working=launched.backfills, waiting=())


def test_a_fresh_store_launches_nothing(finished: World) -> None:
    with finished.instance() as instance:
        launched = launch_missing(finished.settings, instance, title="tonight")
        assert launched == Launched((), (), (), ())
        assert launched.left() == ""
        assert launch_backfill(instance, None, {}, title="tonight") is None  # type: ignore[arg-type]


def test_without_a_daemon_the_command_says_what_to_start(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fresh.settings
    monkeypatch.setattr("mmfs_assets.recorded.recorded_settings", lambda store: settings)
    monkeypatch.setattr("mmfs_assets.execution.home.open_instance", lambda settings: fresh.instance())
    said = CliRunner().invoke(app, ["materialize", "--launch"])
    assert isinstance(said.exception, SettingsError)
    assert "no Dagster daemon" in str(said.exception)
    assert "dagster-daemon run -m mmfs_assets.definitions" in str(said.exception)
    with fresh.instance() as instance:
        assert instance.get_backfills() == []


@pytest.fixture
def deployment(fresh: World) -> Iterator[Deployment]:
    with fresh.instance() as instance:
        home = Path(instance.root_directory)
    with (home / "dagster.yaml").open("a") as file:  # runs begin at once: nothing has to take them from a queue
        file.write(
            "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
            "run_retries: {enabled: false}\n"
        )
    environment = {
        "MMFS_STORE": fresh.settings.store,
        "MMFS_SHARD_MAX_FILES": "2",
        "MMFS_WORKERS": "1",
        "MMFS_DEVICE": "cpu",
    }
    with deployed(home, environment, "code-server") as found:
        yield found


def _instance(deployment: Deployment) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(deployment.home)))


def _launched(world: World, deployment: Deployment) -> tuple[list[str], list[set[str]]]:
    """Launch what is missing, and iterate as the daemon does, which waits 30 s each time: statuses, assets by run."""
    with _instance(deployment) as instance:
        target = WorkspaceFileTarget([str(deployment.workspace)])
        with WorkspaceProcessContext(instance, target) as process:
            launched = launch_missing(world.settings, instance, title="test", assets=CHAIN).backfills

            def ended() -> list[str]:
                list(execute_backfill_iteration(process, logging.getLogger("backfill")))
                found = [instance.get_backfill(backfill) for backfill in launched]
                statuses = [backfill.status.value for backfill in found if backfill]
                return [] if "REQUESTED" in statuses else statuses

            statuses = deployment.wait_for(ended)
        runs = [run for one in launched for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": one}))]
        return statuses, [{key.to_user_string() for key in run.asset_selection or ()} for run in runs]


#: A chain of three over shards, and an asset of the whole store below it.
CHAIN = ("clip_embeddings", "frame_quality", "prompt_scores", "duplicates")


@pytest.mark.cluster
@pytest.mark.timeout(1200)
def test_a_backfill_fuses_the_chain_keeps_what_succeeded_and_the_next_one_takes_up_what_is_left(
    fresh: World, deployment: Deployment
) -> None:
    store = fresh.store
    name = store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py()
    pack = store.objects.local_path(name)
    assert isinstance(pack, Path)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])

    statuses, runs = _launched(fresh, deployment)
    assert statuses == ["COMPLETED_FAILED"]
    assert runs == [set(CHAIN[:3])], "the chain was cut, or what stands below a failure ran"
    assert set(store.tables.shards("clip_embeddings")) == {"000000", "000002"}
    with _instance(deployment) as instance:
        [run] = [run for run in instance.get_runs() if run.tags.get("dagster/backfill")]
        said = [
            entry.dagster_event.step_failure_data.user_failure_data.description
            for entry in instance.all_logs(run.run_id)
            if entry.dagster_event and entry.dagster_event.is_step_failure
        ]
    assert any("1 of 3 shards of clip_embeddings failed: 000001 (IntegrityError" in str(text) for text in said)

    pack.write_bytes(whole)
    before = {shard: store.tables.state("clip_embeddings", shard).app_version for shard in SHARDS}
    statuses, runs = _launched(fresh, deployment)
    assert statuses == ["COMPLETED_SUCCESS"] * 2, "shards that failed are not apart"
    assert set().union(*runs) == set(CHAIN)
    after = {shard: store.tables.state("clip_embeddings", shard).app_version for shard in SHARDS}
    assert after == {**before, "000001": 0}, "finished shards were computed again"
    with _instance(deployment) as instance:
        launch_missing(fresh.settings, instance, title="after", assets=CHAIN)
        assert _found(fresh, instance).get("after", {"duplicates": []}) == {"duplicates": []}, (
            "it knew the mended shard"
        )


@pytest.fixture
def failing(done: World) -> World:
    """Shard 000001 of ``frame_quality`` failed the last time."""
    store = done.store
    store.tables.update("frame_quality", "000001", lambda rows: rows.slice(0, 0))
    pack = store.objects.local_path(store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py())
    assert isinstance(pack, Path)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])
    assert not done.run("frame_quality", "000001").success
    return done


APART = "tonight: shards that failed"


def test_shards_that_failed_are_apart_and_nobody_waits_for_them(failing: World) -> None:
    failing.store.tables.update("frame_quality", "000002", lambda rows: rows.slice(0, 0))
    with failing.instance() as instance:
        launched = launch_missing(failing.settings, instance, title="tonight", assets=["frame_quality", "duplicates"])
        assert {backfill.backfill_id for backfill in instance.get_backfills()} == {*launched.backfills}
        assert _found(failing, instance) == {
            "tonight": {"frame_quality": ["000002"], "duplicates": []},
            APART: {"frame_quality": ["000001"]},
        }


@pytest.mark.parametrize("by", ["itself", "a backfill of today"])
def test_an_asset_of_the_whole_store_is_launched_once_however_often_shards_above_it_failed(
    failing: World, by: str
) -> None:
    with failing.instance() as instance:
        if by != "itself":
            graph = definitions_for(failing.settings).resolve_asset_graph()
            launch_backfill(instance, graph, {"000001": {"frame_quality": ""}}, title=APART)
        launch_missing(failing.settings, instance, title="tonight", assets=["frame_quality", "duplicates"])
        assert _found(failing, instance) == {"tonight": {"duplicates": []}, APART: {"frame_quality": ["000001"]}}


def test_assets_of_the_whole_store_wait_for_shards_above_them_that_are_under_way(fresh: World) -> None:
    graph = definitions_for(fresh.settings).resolve_asset_graph()
    with fresh.instance() as instance:
        needs = {shard: dict.fromkeys([*FEATURE_ASSETS, "qdrant_index"], "new") for shard in SHARDS}
        automation = launch_backfill(instance, graph, needs, title="automation")
        assert automation is not None
        launched = launch_missing(fresh.settings, instance, title="tonight")
    assert launched == Launched((), tuple(SHARDS), (automation,), tuple(launched.waiting))
    assert set(launched.waiting) == WHOLE
    assert launched.left() == (
        f"under way already: 3 shards, backfills {automation}; "
        f"left to the next launch, since what they read is not there yet: {', '.join(launched.waiting)}"
    )


def test_assets_of_the_whole_store_wait_where_all_above_them_failed_from_the_beginning(fresh: World) -> None:
    with fresh.instance() as instance:
        _events(instance, "frame_quality", *SHARDS, ended=dg.DagsterRunStatus.FAILURE)
        launched = launch_missing(fresh.settings, instance, title="tonight", assets=["frame_quality", "duplicates"])
        assert _found(fresh, instance) == {APART: {"frame_quality": SHARDS}}
    assert launched.waiting == ("duplicates",)


def test_launching_everything_spares_what_a_run_works_on(done: World) -> None:
    with done.instance() as instance:
        _events(instance, "frame_quality", "000001")
        launched = launch_missing(done.settings, instance, title="all", assets=["frame_quality"], missing=False)
        assert _found(done, instance) == {"all": {"frame_quality": ["000000", "000002"]}}
    assert launched.left() == "under way already: 1 shard"


def _events(
    instance: dg.DagsterInstance,
    asset: str,
    *shards: str,
    ended: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
) -> None:
    """A run that was to make shards of an asset, and what became of it."""
    job = dg.GraphDefinition(name="a_run").to_job()
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    for shard in shards:
        planned = AssetMaterializationPlannedData(dg.AssetKey(asset), partition=shard)
        instance.report_dagster_event(
            DagsterEvent.build_asset_materialization_planned_event("a_run", asset, planned), run.run_id
        )
    if ended == dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)


@pytest.mark.parametrize(("minutes", "works"), [(1, True), (10, False)])
def test_a_daemon_that_was_not_heard_of_for_minutes_takes_up_nothing(fresh: World, minutes: int, works: bool) -> None:
    with fresh.instance() as instance:
        then = time.time() - 60 * minutes
        instance.add_daemon_heartbeat(DaemonHeartbeat(then, "BACKFILL", "one", []))
        if works:
            require_daemon(instance)
        else:
            with pytest.raises(SettingsError, match="no Dagster daemon"):
                require_daemon(instance)
