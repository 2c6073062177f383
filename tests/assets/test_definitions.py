"""The lineage graph, as people see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget

import mmfs_assets
from mmfs.features.feature import Feature, Scalar, feature
from mmfs.settings import Settings
from mmfs_assets.definitions import definitions_for
from mmfs_assets.partitions import SHARDS
from tests.deployment import LOCATION

REPOSITORY = Path(mmfs_assets.__file__).parent.parent

LINEAGE = {
    "raw_media": ({"listings"}, "media"),
    "captions": ({"listings", "raw_media"}, "media"),
    "frames": ({"raw_media"}, "media"),
    "audio_windows": ({"raw_media"}, "media"),
    "clip_embeddings": ({"frames"}, "features"),
    "text_embeddings": ({"captions"}, "features"),
    "depth_maps": ({"frames"}, "features"),
    "frame_quality": ({"frames"}, "features"),
    "prompt_scores": ({"clip_embeddings"}, "features"),
    "audio_features": ({"audio_windows"}, "features"),
    "qdrant_index": ({"raw_media", "captions", "frames", "clip_embeddings", "text_embeddings"}, "search"),
    "duplicates": ({"clip_embeddings", "frame_quality"}, "curation"),
    "demo_training_run": ({"frames", "clip_embeddings", "depth_maps", "captions"}, "training"),
}
TABLES = {name for name, (_, group) in LINEAGE.items() if group not in ("search", "training")}
#: Nothing here runs them: who lists files, and training elsewhere, report to them.
EXTERNAL = {"listings": (set(), "media"), "training_runs": (TABLES, "training")}
#: Upkeep of the whole store.
OPERATIONS = dict.fromkeys(("compaction", "vacuum", "verification"), (set(), "operations"))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return definitions_for(Settings())


def test_the_lineage_reads_as_the_story(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): (
            {parent.to_user_string() for parent in graph.get(key).parent_keys},
            graph.get(key).group_name,
        )
        for key in graph.get_all_asset_keys()
    }
    assert found == LINEAGE | EXTERNAL | OPERATIONS


def test_all_assets_but_those_of_the_whole_store_are_partitioned_by_shard_with_one_backfill_policy(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    for name in LINEAGE:
        node = graph.get(dg.AssetKey(name))
        assert node.owners == ["team:mmfs"]
        assert node.description
        assert node.kinds
        assert node.code_version
        if name not in ("duplicates", "demo_training_run"):
            assert node.partitions_def == SHARDS
            assert node.backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=32)


def test_model_assets_queue_on_the_pool_gpu_and_index_builders_on_the_pool_index(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    pools = {name: graph.get(dg.AssetKey(name)).pools for name in LINEAGE}
    assert pools["clip_embeddings"] == pools["text_embeddings"] == pools["depth_maps"] == {"gpu"}
    assert pools["qdrant_index"] == {"index"}
    assert pools["frames"] == pools["frame_quality"] == pools["prompt_scores"] == set()


def test_every_column_of_an_asset_says_what_it_means(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    schema = graph.get(dg.AssetKey("frames")).metadata["dagster/column_schema"]
    assert {column.name: column.description for column in schema.columns}["pts_us"] == (
        "Presentation time. Unit: microseconds."
    )


def test_no_check_blocks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    assert checked == set(LINEAGE | OPERATIONS) - {"demo_training_run"}
    assert not any(graph.get_check_spec(key).blocking for key in graph.asset_check_keys)


@feature(table="brightness", grain="frame", inputs=["frames.image"])
class Brightness(Feature):
    """How bright a frame is."""

    outputs = {"mean": Scalar("float32", "Mean of all pixels, 0 to 1.")}


def test_a_feature_of_your_own_becomes_an_asset_with_checks() -> None:
    graph = definitions_for(Settings(features=(__name__,))).resolve_asset_graph()
    node = graph.get(dg.AssetKey("brightness"))
    assert {key.to_user_string() for key in node.parent_keys} == {"frames"}
    assert node.group_name == "features"
    assert dg.AssetCheckKey(dg.AssetKey("brightness"), "keys_agree") in graph.asset_check_keys


def test_a_model_that_cannot_be_found_does_not_keep_the_code_location_from_loading(tmp_path: Path) -> None:
    settings = Settings.model_validate({"clip": {"model": f"local-dir:{tmp_path / 'absent'}"}})
    node = definitions_for(settings).resolve_asset_graph().get(dg.AssetKey("clip_embeddings"))
    assert node.code_version == "model-not-found"


def test_loading_the_code_location_imports_no_model_library_and_no_decoder() -> None:
    program = (
        "import sys; from mmfs_assets.definitions import defs; defs();"
        "print([name for name in ('torch', 'av', 'PIL', 'open_clip', 'transformers', 'pandas', 'qdrant_client')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert found.stdout.strip() == "[]"


def test_the_code_location_has_one_name_however_dagster_is_started() -> None:
    by_command = ModuleTarget(LOCATION, attribute=None, working_directory=None, location_name=None).create_origins()
    by_file = WorkspaceFileTarget([str(REPOSITORY / "workspace.yaml")]).create_origins()
    assert [origin.location_name for origin in (*by_command, *by_file)] == [LOCATION] * 2
