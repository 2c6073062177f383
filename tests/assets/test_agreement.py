"""In seeded situations the UI and `mmfs materialize` say the same of every shard of every asset, or a known difference.

The UI's word is what GraphQL answers: failed and missing partitions, and those that it calls "Unsynced". It marks where
a change is; what stands below turns "Unsynced" once that has run. So a plan's causes are compared without "below ...".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.freshness import FAILED, NEVER
from mmfs_assets.planning.plan import make_plan
from tests.assets.conftest import ASSETS, SHARDS, World
from tests.features.tiny import picture, write_clip

ASKED = """
query($assets: [AssetKeyInput!]!, $partitions: [String!]!) {
  assetNodes(assetKeys: $assets) {
    assetKey { path }
    staleStatusByPartition(partitions: $partitions)
    assetPartitionStatuses { ... on DefaultPartitionStatuses { failedPartitions unmaterializedPartitions } }
  }
}
"""
#: What is said of a shard of an asset.
Said = dict[tuple[str, str], str]


@dataclass
class Situation:
    """A world in which something happened.

    Attributes:
        environment: Settings that changed.
        shards: All shards by now.
        plan_only: What only a plan can tell: Dagster calls these fresh.
    """

    world: World
    environment: dict[str, str] = field(default_factory=dict)
    shards: list[str] = field(default_factory=lambda: list(SHARDS))
    plan_only: Said = field(default_factory=dict)

    def ingest(self, folder: Path, *names: str, shard_max_files: int = 2) -> None:
        """Put pictures into a folder and list it."""
        folder.mkdir(exist_ok=True)
        for number, name in enumerate(names):
            (folder / name).write_bytes(encode_jpeg(picture(70 + number)))
        settings = self.world.settings.model_copy(update={"shard_max_files": shard_max_files})
        FeatureStore(Store.open(settings=settings)).ingest([folder])

    @contextmanager
    def caption(self, text: str) -> Iterator[None]:
        """Another caption for a picture of shard 000001, listed."""
        file = self.world.media / "2.txt"
        before = file.read_text()
        file.write_text(text)
        try:
            FeatureStore(self.world.store).ingest([self.world.media])
            yield
        finally:
            file.write_text(before)


def all_is_fresh(situation: Situation, tmp_path: Path) -> Said:
    return {}


def a_file_joins_the_open_shard(situation: Situation, tmp_path: Path) -> Said:
    situation.ingest(tmp_path / "new", "x.jpg", shard_max_files=3)
    return {("raw_media", "000002"): "stale", ("captions", "000002"): "stale"}


def a_new_shard_is_listed(situation: Situation, tmp_path: Path) -> Said:
    situation.ingest(tmp_path / "new", "x.jpg")
    situation.shards.append("000003")
    return {(asset, "000003"): "missing" for asset in ASSETS}


def another_prompt(situation: Situation, tmp_path: Path) -> Said:
    situation.environment["MMFS_PROMPTS"] = json.dumps({"scores": {"dog": ["a dog"]}})
    return {("prompt_scores", shard): "stale" for shard in SHARDS}


def other_weights(situation: Situation, tmp_path: Path) -> Said:
    model = f"local-dir:{write_clip(tmp_path / 'clip', seed=7)}"
    situation.environment["MMFS_CLIP"] = json.dumps({"model": model, "batch_size": 4})
    return {(a, s): "stale" for a in ("clip_embeddings", "text_embeddings", "prompt_scores") for s in SHARDS}


def another_sampling(situation: Situation, tmp_path: Path) -> Said:
    situation.environment["MMFS_FRAMES"] = json.dumps({"short_side": 20})
    return {("frames", shard): "stale" for shard in SHARDS}


def an_upstream_made_again_alike(situation: Situation, tmp_path: Path) -> Said:
    """One shard, then all: with one version for a run of several, both would turn all downstream stale."""
    assert situation.world.run("frames", "000001").success
    assert situation.world.run(["raw_media", "frames"], "000000", "000002").success
    return {}


def an_upstream_made_again_otherwise_in_one_shard_of_a_run(situation: Situation, tmp_path: Path) -> Said:
    with situation.caption("something else"):
        assert situation.world.run("captions", "000000", "000002").success
    return {
        ("raw_media", "000001"): "stale",  # its listing changed, too, and it did not run
        ("text_embeddings", "000001"): "stale",
        ("qdrant_index", "000001"): "stale",  # captions can be filtered by
    }


def a_run_of_several_then_one_of_one(situation: Situation, tmp_path: Path) -> Said:
    with situation.caption("something else"):
        assert situation.world.run(["raw_media", "captions"], "000000", "000002").success
    with situation.caption("something else again"):
        assert situation.world.run(["raw_media", "captions"], "000001").success
    return {(asset, "000001"): "stale" for asset in ("text_embeddings", "qdrant_index")}


def a_shard_failed(situation: Situation, tmp_path: Path) -> Said:
    store = situation.world.store
    pack = store.objects.local_path(store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py())
    assert pack is not None
    store.tables.update("frame_quality", "000001", lambda rows: rows.slice(0, 0))
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])
    assert not situation.world.run(["frame_quality"], "000000", "000002").success
    return {("frame_quality", "000001"): "failed"}


def a_bad_file_was_replaced(situation: Situation, tmp_path: Path) -> Said:
    file = situation.world.media / "5.jpg"
    bad = file.read_bytes()
    try:
        file.write_bytes(encode_jpeg(picture(5)))
        FeatureStore(situation.world.store).ingest([situation.world.media])
    finally:
        file.write_bytes(bad)
    return {("raw_media", "000002"): "stale", ("captions", "000002"): "stale"}


def history_was_wiped(situation: Situation, tmp_path: Path) -> Said:
    with situation.world.instance() as instance:
        instance.wipe_assets([dg.AssetKey("frames")])
    return {("frames", shard): "missing" for shard in SHARDS}


def rows_written_by_hand(situation: Situation, tmp_path: Path) -> Said:
    situation.world.store.tables.update("captions", "000001", lambda rows: rows.slice(0, 1))
    touched = ("captions", "text_embeddings", "qdrant_index")
    situation.plan_only = {(asset, "000001"): "stale" for asset in touched}
    return {}


def rows_written_and_restored(situation: Situation, tmp_path: Path) -> Said:
    """Other files, the same rows: as after a restore, a compaction or a vacuum."""
    tables = situation.world.store.tables
    before = tables.read("captions", shard="000001").drop_columns("shard")
    tables.update("captions", "000001", lambda rows: rows.slice(0, 1))
    tables.update("captions", "000001", lambda rows: before)
    return {}


def a_missing_file_came_back(situation: Situation, tmp_path: Path) -> Said:
    situation.ingest(tmp_path / "new", "x.jpg", "y.jpg")
    situation.shards.append("000003")
    (tmp_path / "new" / "x.jpg").rename(tmp_path / "x.jpg")
    with situation.world.instance() as instance:
        make_plan(situation.world.settings, instance)
    assert situation.world.run(["raw_media", "captions"], "000003").success
    (tmp_path / "x.jpg").rename(tmp_path / "new" / "x.jpg")
    situation.plan_only = {("raw_media", "000003"): "stale"}
    return {(asset, "000003"): "missing" for asset in ASSETS if asset not in ("raw_media", "captions")}


#: Those that are looked at with every change; the others with the tests of a cluster, which take longer.
OFTEN = [a_file_joins_the_open_shard, an_upstream_made_again_otherwise_in_one_shard_of_a_run]
SITUATIONS: list[Callable[[Situation, Path], Said]] = [
    *OFTEN,
    all_is_fresh,
    a_new_shard_is_listed,
    another_prompt,
    other_weights,
    another_sampling,
    an_upstream_made_again_alike,
    a_run_of_several_then_one_of_one,
    a_shard_failed,
    a_bad_file_was_replaced,
    history_was_wiped,
    rows_written_by_hand,
    rows_written_and_restored,
    a_missing_file_came_back,
]


@pytest.mark.parametrize(
    "happens",
    [pytest.param(one, id=one.__name__, marks=[] if one in OFTEN else pytest.mark.cluster) for one in SITUATIONS],
)
def test_the_ui_and_the_plan_agree(
    done: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Situation, Path], Said]
) -> None:
    situation = Situation(done)
    expected = happens(situation, tmp_path)
    monkeypatch.setenv("MMFS_STORE", done.settings.store)
    monkeypatch.setenv("MMFS_DEVICE", "cpu")
    for name, value in situation.environment.items():
        monkeypatch.setenv(name, value)
    with done.instance() as instance:
        planned = _planned(Settings(), instance)
        shown = _shown(instance, situation.shards)
    assert shown == expected
    assert planned == expected | situation.plan_only


@pytest.mark.cluster
def test_before_anything_ran_all_is_missing_in_both(
    ingested: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(tmp_path / "world", ingested.models)
    world.root.mkdir()
    FeatureStore(world.store).ingest([world.media])
    monkeypatch.setenv("MMFS_STORE", world.settings.store)
    monkeypatch.setenv("MMFS_DEVICE", "cpu")
    with world.instance() as instance:
        planned = _planned(Settings(), instance)
        assert planned == _shown(instance, SHARDS) == {(a, s): "missing" for a in ASSETS for s in SHARDS}


@pytest.mark.cluster
@pytest.mark.parametrize(("shards", "status"), [(99, "STALE"), (100, "FRESH")])
def test_dagster_stops_comparing_at_a_hundred_upstream_partitions(
    finished: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, status: str
) -> None:
    """Of assets of the whole store; `mmfs plan` and `mmfs materialize` compare them with the tables."""
    monkeypatch.setenv("MMFS_STORE", finished.settings.store)
    names = [f"{number:06d}" for number in range(shards)]
    with World(tmp_path, finished.models).instance() as instance:
        instance.add_dynamic_partitions("shard", names)

        def report(asset: str, partitions: list[str | None], version: str) -> None:
            for partition in partitions:
                event = dg.AssetMaterialization(asset, partition=partition, tags={"dagster/data_version": version})
                instance.report_runless_asset_event(event)

        report("clip_embeddings", [*names], "1")
        report("frame_quality", [*names], "1")
        pointers = {
            f"dagster/{kind}/{dep}": value
            for dep in ("clip_embeddings", "frame_quality")
            for kind, value in (("input_data_version", "1"), ("input_event_pointer", str(2 * shards + 10)))
        }
        tags = {"dagster/data_version": "1", "dagster/code_version": _code_version("duplicates"), **pointers}
        instance.report_runless_asset_event(dg.AssetMaterialization("duplicates", tags=tags))
        for _ in range(11):  # beyond the pointers
            report("raw_media", [names[0]], "1")
        report("clip_embeddings", [names[0]], "2")
        query = 'query { assetNodes(assetKeys: [{path: ["duplicates"]}]) { staleStatus } }'
        assert _answer(instance, query)["assetNodes"] == [{"staleStatus": status}]


def _planned(settings: Settings, instance: dg.DagsterInstance) -> Said:
    plan = make_plan(settings, instance, assets=ASSETS)
    words = {NEVER: "missing", FAILED: "failed"}
    return {
        (asset, shard): words.get(cause, "stale")
        for shard, causes in plan.needs.items()
        for asset, cause in causes.items()
        if not cause.startswith("below ")
    }


def _shown(instance: dg.DagsterInstance, shards: list[str]) -> Said:
    """What the UI shows: everything but what is fresh."""
    asked = {"assets": [{"path": [asset]} for asset in ASSETS], "partitions": shards}
    said: Said = {}
    for node in _answer(instance, ASKED, asked)["assetNodes"]:
        asset, statuses = node["assetKey"]["path"][0], node["assetPartitionStatuses"]
        for shard, status in zip(shards, node["staleStatusByPartition"], strict=True):
            if shard in statuses["failedPartitions"]:
                said[asset, shard] = "failed"
            elif status != "FRESH":
                said[asset, shard] = status.lower()
                assert (status == "MISSING") == (shard in statuses["unmaterializedPartitions"])
    return said


def _answer(instance: dg.DagsterInstance, query: str, variables: dict[str, Any] | None = None) -> Any:
    module = LoadableTargetOrigin(executable_path=sys.executable, module_name="mmfs_assets.definitions")
    location = InProcessCodeLocationOrigin(module, location_name="mmfs")
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(location)) as process:
        answer = execute_dagster_graphql(process.create_request_context(), query, variables or {})
    assert answer.errors is None
    return answer.data


def _code_version(asset: str) -> str:
    return str(definitions_for(Settings()).resolve_asset_graph().get(dg.AssetKey(asset)).code_version)
