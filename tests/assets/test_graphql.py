"""What the UI is told: every partition of every asset is materialized, and there is a picture to look at."""

from __future__ import annotations

import sys

import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from tests.assets.conftest import ASSETS, SHARDS, World

STATUS = """
query($assets: [AssetKeyInput!]!, $partitions: [String!]!) {
  partitioned: assetNodes(assetKeys: $assets) {
    assetKey { path }
    staleStatusByPartition(partitions: $partitions)
  }
  assetNodes {
    assetKey { path }
    partitionStats { numMaterialized numPartitions numFailed }
    assetMaterializations(limit: 1) { metadataEntries { label __typename } }
  }
}
"""


@pytest.fixture(scope="module")
def nodes(finished: World) -> dict[str, dict]:
    with pytest.MonkeyPatch.context() as patch, finished.instance() as instance:
        patch.setenv("MMFS_STORE", finished.settings.store)
        module = LoadableTargetOrigin(executable_path=sys.executable, module_name="mmfs_assets.definitions")
        location = InProcessCodeLocationOrigin(module, location_name="mmfs")
        with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(location)) as process:
            asked = {"assets": [{"path": [asset]} for asset in ASSETS], "partitions": SHARDS}
            answer = execute_dagster_graphql(process.create_request_context(), STATUS, asked)
    assert answer.errors is None
    found = {node["assetKey"]["path"][0]: node for node in answer.data["assetNodes"]}
    for node in answer.data["partitioned"]:
        found[node["assetKey"]["path"][0]] |= node
    return found


@pytest.mark.parametrize("asset", ASSETS)
def test_every_partition_reads_as_materialized_and_fresh(nodes: dict[str, dict], asset: str) -> None:
    assert nodes[asset]["partitionStats"] == {"numMaterialized": 3, "numPartitions": 3, "numFailed": 0}
    assert nodes[asset]["staleStatusByPartition"] == ["FRESH"] * 3


@pytest.mark.parametrize("asset", ["frames", "depth_maps"])
def test_pictures_are_shown_as_markdown(nodes: dict[str, dict], asset: str) -> None:
    [event] = nodes[asset]["assetMaterializations"]
    assert {"label": "preview", "__typename": "MarkdownMetadataEntry"} in event["metadataEntries"]


def test_the_training_run_ends_the_lineage(nodes: dict[str, dict]) -> None:
    [event] = nodes["demo_training_run"]["assetMaterializations"]
    assert {"pin", "last_loss", "samples_per_s"} <= {entry["label"] for entry in event["metadataEntries"]}
