"""A shard whose files vanished between listing and run: the run ends well, and everybody is told."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.freshness import RETURNED, shard_needs
from tests.assets.conftest import MEDIA_ASSETS, World
from tests.features.tiny import picture

SHARD = "000003"


def _needs(world: World) -> dict[str, str]:
    graph = definitions_for(world.settings).resolve_asset_graph()
    with world.instance() as instance:
        return shard_needs(instance, world.store, graph, MEDIA_ASSETS, [SHARD]).get(SHARD, {})


def test_a_shard_whose_files_vanished_is_quarantined_and_registered_when_they_are_back(
    fresh: World, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    for number in (50, 51):
        (tmp_path / "new" / f"{number}.jpg").write_bytes(encode_jpeg(picture(number)))
    assert FeatureStore(fresh.store).ingest([tmp_path / "new"]).shards == [SHARD]
    shutil.move(tmp_path / "new", tmp_path / "aside")

    gone = fresh.materialize(*MEDIA_ASSETS)
    assert gone.failures == {}
    assert [run.shards for run in gone.planned] == [(SHARD,)]
    assert fresh.last_event("raw_media", SHARD).metadata["quarantined"].value == 2
    assert fresh.last_event("raw_media", SHARD).metadata["rows"].value == 0
    check = "few_files_are_quarantined"
    with fresh.instance() as instance:
        evaluations = [
            entry.dagster_event.asset_check_evaluation_data
            for entry in instance.all_logs(gone.runs[0])
            if entry.dagster_event and entry.dagster_event.event_type_value == "ASSET_CHECK_EVALUATION"
        ]
    assert {found.check_name: found.passed for found in evaluations}[check] is False
    assert _needs(fresh) == {}

    shutil.move(tmp_path / "aside", tmp_path / "new")
    assert FeatureStore(fresh.store).ingest([tmp_path / "new"]).updated == 0
    assert _needs(fresh)["raw_media"] == RETURNED
    back = fresh.materialize(*MEDIA_ASSETS)
    assert back.failures == {}
    assert fresh.store.tables.shards("frames")[SHARD] == 2
    assert _needs(fresh) == {}
