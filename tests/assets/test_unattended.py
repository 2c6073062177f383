"""Once for real: a watched folder, a daemon, a code server and a webserver, and nobody at hand."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mmfs.codecs import encode_jpeg
from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from tests.assets.conftest import ASSETS
from tests.deployment import LOCATION, Deployment, deployed
from tests.features.tiny import picture, write_clip, write_depth
from tests.webhook import Webhook, listening

REPOSITORY = Path(__file__).parents[2]

SENSOR = f"""
query($name: String!) {{
  sensorOrError(sensorSelector: {{
    repositoryName: "__repository__", repositoryLocationName: "{LOCATION}", sensorName: $name
  }}) {{ ... on Sensor {{ sensorState {{ status ticks(limit: 500) {{ status skipReason error {{ message }} }} }} }} }}
}}
"""
EVALUATED = """
query($asset: AssetKeyInput!) {
  assetConditionEvaluationRecordsOrError(assetKey: $asset, limit: 100) {
    ... on AssetConditionEvaluationRecords { records { numRequested } }
  }
}
"""
HEALTH = "query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
FRESHNESS = """
query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
  internalFreshnessPolicy { __typename } freshnessStatusInfo { freshnessStatus }
} } }
"""
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with listening() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that remembers its models, and nothing in it."""
    write_clip(tmp_path / "clip")
    write_depth(tmp_path / "depth")
    return Store.open(
        settings=Settings(
            store=str(tmp_path / "store"),
            clip=ClipConfig(model=f"local-dir:{tmp_path / 'clip'}", batch_size=4),
            depth=DepthConfig(model=str(tmp_path / "depth"), batch_size=4),
        )
    )


@pytest.fixture
def deployment(tmp_path: Path, store: Store, hook: Webhook) -> Iterator[Deployment]:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "media").mkdir()
    (home / "dagster.yaml").write_bytes((REPOSITORY / "dagster_home" / "dagster.yaml").read_bytes())
    environment = {
        "MMFS_STORE": store.settings.store,
        "MMFS_WATCH": str(tmp_path / "media"),
        "MMFS_WATCH_EVERY_S": "1",
        # Longer than a busy machine keeps the writer of a growing file from its turn.
        "MMFS_WATCH_SETTLE_S": "10",
        "MMFS_WEBHOOK_URL": hook.url,
        "MMFS_WORKERS": "1",
        "MMFS_DEVICE": "cpu",
    }
    with deployed(home, environment) as found:
        yield found


def drop(folder: Path, *numbers: int) -> None:
    """Pictures with captions, all written at one moment: one look takes all of them, or none."""
    at = time.time()
    for number in numbers:
        picture_file, caption = folder / f"{number}.jpg", folder / f"{number}.txt"
        picture_file.write_bytes(encode_jpeg(picture(number)))
        caption.write_text(f"picture number {number}")
        os.utime(picture_file, (at, at))
        os.utime(caption, (at, at))


@contextmanager
def growing(file: Path) -> Iterator[None]:
    """Something goes on writing a file."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.1):
            os.utime(file)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def said(deployment: Deployment) -> list[str]:
    """What the ticks of the sensor over the watched folder said, the latest first."""
    state = deployment.graphql(SENSOR, name="new_media")["sensorOrError"]["sensorState"]
    return [tick["skipReason"] or "" for tick in state["ticks"]]


def materialized(instance: dg.DagsterInstance) -> set[str]:
    """Assets whose one shard is as the last run left it, and well."""
    partitions = dg.DynamicPartitionsDefinition(name="shard")
    found = {
        asset: instance.get_status_by_partition(dg.AssetKey(asset), ["000000"], partitions) or {} for asset in ASSETS
    }
    return {
        asset for asset, states in found.items() if (state := states.get("000000")) and state.value == "MATERIALIZED"
    }


def rows(store: Store) -> dict[str, int]:
    return {asset: sum(store.tables.shards(asset).values()) for asset in ASSETS if asset in store.tables.names()}


def kill_worker(instance: dg.DagsterInstance, run_id: str) -> None:
    said = [str(entry.user_message or entry.message) for entry in instance.all_logs(run_id)]
    [pid] = {found[1] for text in said if (found := re.search(r"\(pid: (\d+)\)", text))}
    os.kill(int(pid), signal.SIGKILL)


def running(instance: dg.DagsterInstance, asset: str) -> list[dg.DagsterRun]:
    """Runs that have written this asset and go on."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    return [
        run
        for run in runs
        if any(
            entry.dagster_event
            and entry.dagster_event.is_step_materialization
            and entry.dagster_event.asset_key == dg.AssetKey(asset)
            for entry in instance.all_logs(run.run_id)
        )
    ]


def launch(deployment: Deployment, job: str) -> str:
    """Start a job as its schedule or the UI does; the id of its run."""
    selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": job}
    answer = deployment.graphql(LAUNCH, params={"selector": selector, "runConfigData": {}, "mode": "default"})
    launched = answer["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id: str = launched["run"]["runId"]
    return run_id


def ended(instance: dg.DagsterInstance) -> Counter[str]:
    return Counter(run.status.value for run in instance.get_runs())


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_dropped_files_are_computed_unattended_whatever_dies_and_what_fails_is_told(
    tmp_path: Path, store: Store, deployment: Deployment, hook: Webhook
) -> None:
    media = tmp_path / "media"
    drop(media, 0, 1)
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("verification"))
        # The run worker is killed in the middle: the daemon tells of it and tries again.
        [killed] = deployment.wait_for(lambda: running(instance, "frames"), every_s=0.05)
        assert set(killed.asset_selection or ()) == {dg.AssetKey(asset) for asset in ASSETS}
        kill_worker(instance, killed.run_id)
        deployment.wait_for(lambda: materialized(instance) == set(ASSETS))
        first = deployment.wait_for(lambda: hook.messages)[0]
        assert (first["run_id"], first["will_be_retried"]) == (killed.run_id, True)
        assert rows(store)["raw_media"] == rows(store)["captions"] == rows(store)["frames"] == 2
        deployment.wait_for(lambda: not ended(instance)["STARTED"])
        assert ended(instance) == {"FAILURE": 1, "SUCCESS": 1}

        # A second drop joins the open shard; one model is away, which fails its asset and nothing else.
        shutil.move(tmp_path / "depth", tmp_path / "depth-away")
        drop(media, 2)
        with growing(media / "2.jpg"):
            deployment.wait_for(
                lambda: any("1 files wait until they have settled" in text for text in said(deployment))
            )
            assert rows(store)["raw_media"] == 2
        told = deployment.wait_for(lambda: [one for one in hook.messages if "depth_maps" in one["error"]])
        assert told[0]["shards"] == "shard 000000"
        deployment.wait_for(lambda: materialized(instance) == set(ASSETS) - {"depth_maps"})
        deployment.wait_for(lambda: not ended(instance)["STARTED"])
        silent = {"audio_windows": 0, "audio_features": 0}
        assert rows(store) == {**dict.fromkeys(ASSETS, 3), **silent, "depth_maps": 2, "qdrant_index": 2}  # two spaces

        # What failed is left alone until the night, which takes up exactly that.
        shutil.move(tmp_path / "depth-away", tmp_path / "depth")
        before = {run.run_id for run in instance.get_runs()}
        launch(deployment, "nightly")
        deployment.wait_for(lambda: materialized(instance) == set(ASSETS))
        later = [run for run in instance.get_runs() if run.run_id not in before and run.job_name != "nightly"]
        assert dg.AssetKey("depth_maps") in {key for run in later for key in run.asset_selection or ()}
        assert not {key for run in later for key in run.asset_selection or ()} & {dg.AssetKey("frames")}
        assert store.verify(deep=True).ok
        _look_at_the_ui(deployment)
        upkeep = launch(deployment, "maintenance")
        deployment.wait_for(lambda: (run := instance.get_run_by_id(upkeep)) is not None and run.is_finished)
        checks = instance.all_logs(upkeep, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        passed = {
            check.asset_key: check.passed
            for event in checks
            if event.dagster_event and (check := event.dagster_event.asset_check_evaluation_data)
        }
        assert passed == {dg.AssetKey(part): True for part in ("compaction", "vacuum", "verification")}


def _look_at_the_ui(deployment: Deployment) -> None:
    """What the webserver says of sensors, conditions and daemons."""
    states: dict[str, Any] = {
        name: deployment.graphql(SENSOR, name=name)["sensorOrError"]["sensorState"]
        for name in ("new_media", "automation", "failed_runs")
    }
    assert {state["status"] for state in states.values()} == {"RUNNING"}
    assert not [tick for state in states.values() for tick in state["ticks"] if tick["error"]]
    taken = [text.split("; ")[1] for text in said(deployment) if " new files" in text]
    assert taken == ["1 new files, 0 changed ones, 0 new shards", "2 new files, 0 changed ones, 1 new shards"]
    nights = {
        name: deployment.graphql(FRESHNESS, asset={"path": [name]})["assetNodeOrError"]
        for name in ("verification", "vacuum")
    }
    assert {name: night["freshnessStatusInfo"]["freshnessStatus"] for name, night in nights.items()} == {
        "verification": "HEALTHY",
        "vacuum": "UNKNOWN",
    }
    records = deployment.graphql(EVALUATED, asset={"path": ["raw_media"]})["assetConditionEvaluationRecordsOrError"]
    assert sum(record["numRequested"] for record in records["records"]) == 2
    health = deployment.graphql(HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {one["daemonType"] for one in health if one["required"]} >= {
        "SENSOR",
        "SCHEDULER",
        "ASSET",
        "FRESHNESS_DAEMON",
    }
    assert all(one["healthy"] for one in health if one["required"])
