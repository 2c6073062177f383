"""What `mmfs materialize --launch` hands to Dagster's daemon, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from typer.testing import CliRunner

from mmfs.errors import SettingsError
from mmfs_assets.commands import app
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.backfill import launch_backfill, launch_missing
from tests.assets.conftest import FEATURE_ASSETS, SHARDS, World
from tests.deployment import Deployment, deployed

WHOLE = {"duplicates", "demo_training_run"}


def _sets(world: World, backfill: PartitionBackfill) -> dict[str, list[str]]:
    target = backfill.get_asset_backfill_data(definitions_for(world.settings).resolve_asset_graph()).target_subset
    sharded = target.partitions_subsets_by_asset_key.items()
    sets = {key.to_user_string(): sorted(subset.get_partition_keys()) for key, subset in sharded}
    return sets | {key.to_user_string(): [] for key in target.non_partitioned_asset_keys}


def test_a_launch_holds_the_exact_shards_of_each_asset_and_the_whole_stores_assets_follow(fresh: World) -> None:
    assert fresh.run("depth_maps", "000001").success
    with fresh.instance() as instance:
        launched = launch_missing(fresh.settings, instance, title="tonight")
        assert launched is not None
        backfill = instance.get_backfill(launched)
        assert backfill is not None
        assert backfill.title == "tonight"
        assert _sets(fresh, backfill) == {
            **dict.fromkeys([*FEATURE_ASSETS, "qdrant_index"], SHARDS),
            "depth_maps": ["000000", "000002"],
            **{asset: [] for asset in WHOLE},
        }
        assert launch_missing(fresh.settings, instance, title="again") is None, "what is under way is launched twice"


def test_a_fresh_store_launches_nothing(finished: World) -> None:
    with finished.instance() as instance:
        assert launch_missing(finished.settings, instance, title="tonight") is None
        assert launch_backfill(instance, None, {}, title="tonight") is None  # type: ignore[arg-type]


def test_without_a_daemon_the_command_says_what_to_start(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fresh.settings
    monkeypatch.setattr("mmfs_assets.recorded.recorded_settings", lambda store: settings)
    monkeypatch.setattr("mmfs_assets.execution.home.open_instance", lambda settings: fresh.instance())
    said = CliRunner().invoke(app, ["materialize", "--launch"])
    assert isinstance(said.exception, SettingsError)
    assert "no Dagster daemon" in str(said.exception)
    assert "dagster-daemon run" in str(said.exception)
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


def _launched(world: World, deployment: Deployment) -> tuple[str, list[set[str]]]:
    """Launch what is missing, and iterate as the daemon does, which waits 30 s each time: status, assets by run."""
    with _instance(deployment) as instance:
        target = WorkspaceFileTarget([str(deployment.workspace)])
        with WorkspaceProcessContext(instance, target) as process:
            launched = launch_missing(world.settings, instance, title="test", assets=CHAIN)
            assert launched is not None

            def ended() -> str | None:
                list(execute_backfill_iteration(process, logging.getLogger("backfill")))
                backfill = instance.get_backfill(launched)
                assert backfill is not None
                return None if backfill.status.value == "REQUESTED" else backfill.status.value

            status = deployment.wait_for(ended, seconds=240)
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": launched}))
        return status, [{key.to_user_string() for key in run.asset_selection or ()} for run in runs]


#: A chain of three over shards, and an asset of the whole store below it.
CHAIN = ("clip_embeddings", "frame_quality", "prompt_scores", "duplicates")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_backfill_fuses_the_chain_keeps_what_succeeded_and_the_next_one_takes_up_what_is_left(
    fresh: World, deployment: Deployment
) -> None:
    store = fresh.store
    name = store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py()
    pack = store.objects.local_path(name)
    assert isinstance(pack, Path)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])

    status, runs = _launched(fresh, deployment)
    assert status == "COMPLETED_FAILED"
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
    status, runs = _launched(fresh, deployment)
    assert status == "COMPLETED_SUCCESS"
    assert set().union(*runs) == set(CHAIN)
    after = {shard: store.tables.state("clip_embeddings", shard).app_version for shard in SHARDS}
    assert after == {**before, "000001": 0}, "finished shards were computed again"
    with _instance(deployment) as instance:
        assert launch_missing(fresh.settings, instance, title="test", assets=CHAIN) is None


def test_assets_of_the_whole_store_do_not_wait_for_shards_that_failed(done: World) -> None:
    store = done.store
    store.tables.update("frame_quality", "000001", lambda rows: rows.slice(0, 0))
    pack = store.objects.local_path(store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py())
    assert isinstance(pack, Path)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])
    assert not done.run("frame_quality", "000001").success
    with done.instance() as instance:
        launched = launch_missing(done.settings, instance, title="tonight", assets=["frame_quality", "duplicates"])
        found = {backfill.title: _sets(done, backfill) for backfill in instance.get_backfills()}
        assert launched in {backfill.backfill_id for backfill in instance.get_backfills()}
    assert found == {
        "tonight": {"frame_quality": ["000001"], "duplicates": []},
        "tonight: whole store, without shards that failed": {"duplicates": []},
    }
