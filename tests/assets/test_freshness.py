"""What `mmfs materialize` finds to do, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.errors import SettingsError
from mmfs.settings import ClipConfig, PromptScoresConfig, Settings
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.freshness import shard_needs
from tests.assets.conftest import ASSETS, FEATURE_ASSETS, SHARDS, World
from tests.features.tiny import picture, write_clip


def _needs(world: World, settings: Settings | None = None) -> dict[str, dict[str, str]]:
    graph = definitions_for(settings or world.settings).resolve_asset_graph()
    with world.instance() as instance:
        return shard_needs(instance, world.store, graph, ASSETS, SHARDS)


def test_a_fresh_store_needs_nothing(finished: World) -> None:
    assert _needs(finished) == {}


def test_what_stands_below_a_missing_asset_runs_with_it(ingested: World) -> None:
    assert _needs(ingested)["000000"] == dict.fromkeys([*FEATURE_ASSETS, "qdrant_index"], "never materialized")


def test_another_model_makes_its_assets_and_the_index_stale_and_nothing_else(finished: World, tmp_path: Path) -> None:
    other = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'clip', seed=7)}")
    needs = _needs(finished, finished.settings.model_copy(update={"clip": other}))
    for shard in SHARDS:
        assert needs[shard] == {
            **dict.fromkeys(["clip_embeddings", "text_embeddings", "prompt_scores"], "code or model changed"),
            "qdrant_index": "below clip_embeddings",
        }


def test_another_prompt_makes_the_scores_stale_and_nothing_else(finished: World) -> None:
    prompts = PromptScoresConfig(scores={"dog": "a dog"})
    needs = _needs(finished, finished.settings.model_copy(update={"prompts": prompts}))
    assert needs == {shard: {"prompt_scores": "code or model changed"} for shard in SHARDS}


def test_a_new_file_makes_its_own_shard_stale_and_no_other(done: World, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x.jpg").write_bytes(encode_jpeg(picture(77)))
    roomier = done.settings.model_copy(update={"shard_max_files": 3})
    report = open_store(roomier).ingest([tmp_path / "new"])
    assert report.shards == ["000002"]
    assert set(_needs(done)) == {"000002"}
    assert _needs(done)["000002"]["raw_media"] == "inputs changed"


def test_a_table_that_was_changed_behind_dagsters_back_is_noticed(done: World) -> None:
    done.store.tables.update("captions", "000000", lambda rows: rows.slice(0, 1))
    assert _needs(done) == {
        "000000": {
            "captions": "the table no longer holds what was materialized",
            "text_embeddings": "inputs changed",
            "qdrant_index": "inputs changed",
        }
    }


def test_an_unknown_asset_is_refused_by_name(finished: World) -> None:
    with pytest.raises(SettingsError, match="no asset 'clip_embedings'"):
        finished.materialize("clip_embedings")
