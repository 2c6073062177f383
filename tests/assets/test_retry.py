"""What failed is tried again on request: nothing else would tell Dagster, since neither files nor code changed."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from typer.testing import CliRunner

from mmfs.cli.app import app as mmfs
from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.ingest.checks import unaccounted_files, unaccounted_pictures
from mmfs.settings import GuardLimits, Settings
from mmfs_assets.commands import app
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.freshness import RETRIED, Needs, shard_needs
from mmfs_assets.planning.launch import launch_missing
from mmfs_assets.planning.materialize import materialize
from tests.assets.conftest import MEDIA_ASSETS, World
from tests.dying import dying
from tests.features.tiny import picture

SHARD = "000003"


def _needs(world: World) -> Needs:
    graph = definitions_for(world.settings).resolve_asset_graph()
    with world.instance() as instance:
        return shard_needs(instance, world.store, graph, MEDIA_ASSETS, [SHARD])


def _materialize(settings: Settings, world: World) -> list[tuple[str, ...]]:
    """Shards of the runs."""
    with world.instance() as instance:
        done = materialize(settings, instance, assets=MEDIA_ASSETS)
    assert done.failures == {}
    return [run.shards for run in done.planned]


def _quarantine(world: World) -> dict[str, str]:
    """Reasons of the new shard, by stage."""
    rows = world.store.tables.read("quarantine", columns=["stage", "reason"], shard=SHARD)
    return dict(zip(rows.column("stage").to_pylist(), rows.column("reason").to_pylist(), strict=True))


@pytest.fixture
def listed(fresh: World, tmp_path: Path) -> World:
    """One file more in a shard of its own, listed and not read."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "50.jpg").write_bytes(encode_jpeg(picture(50)))
    assert FeatureStore(fresh.store).ingest([tmp_path / "new"]).shards == [SHARD]
    return fresh


def _crash(world: World) -> None:
    """Let the new file kill its decoding process."""
    with dying("probe"):
        assert _materialize(world.settings, world) == [(SHARD,)]
    assert _quarantine(world) == {"raw_media": "crashed"}


def test_a_file_that_was_too_large_is_read_when_the_limit_is_raised_and_it_is_asked_for(listed: World) -> None:
    strict = listed.settings.model_copy(update={"guard": GuardLimits(image_pixels=16)})
    assert _materialize(strict, listed) == [(SHARD,)]
    assert _quarantine(listed) == {"raw_media": "too_large"}
    assert _needs(listed) == {}, "a raised limit alone is no reason to run"

    store = FeatureStore(listed.store)
    assert store.retry().rows == 1
    assert (store.plan("raw_media").missing, store.plan("frames").missing) == (1, 1)
    assert unaccounted_files(listed.store, SHARD) == [], "a file that waits is accounted for"
    assert _needs(listed)[SHARD] == {"raw_media": RETRIED} | dict.fromkeys(MEDIA_ASSETS[1:], "below raw_media")

    assert _materialize(listed.settings, listed) == [(SHARD,)]
    assert (_quarantine(listed), _needs(listed)) == ({}, {})
    assert listed.store.tables.shards("frames")[SHARD] == 1


def test_frames_that_fail_again_are_quarantined_anew_and_nothing_below_becomes_stale(listed: World) -> None:
    with dying("frames"):
        assert _materialize(listed.settings, listed) == [(SHARD,)]
    assert _quarantine(listed) == {"frames": "crashed"}
    before = listed.last_event("frames", SHARD)
    FeatureStore(listed.store).retry(["frames"])
    assert unaccounted_pictures(listed.store, SHARD) == []
    assert _needs(listed) == {SHARD: {"frames": RETRIED}}
    with dying("frames"):
        assert _materialize(listed.settings, listed) == [(SHARD,)]
    assert (_quarantine(listed), _needs(listed)) == ({"frames": "crashed"}, {})
    after = listed.last_event("frames", SHARD)
    assert (after.tags or {})[DATA_VERSION_TAG] == (before.tags or {})[DATA_VERSION_TAG]


def test_the_commands_say_what_comes_next_and_do_it(listed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _crash(listed)
    monkeypatch.setattr("mmfs_assets.recorded.recorded_settings", lambda store: listed.settings)
    monkeypatch.setattr("mmfs_assets.execution.home.open_instance", lambda settings: listed.instance())
    command = ["materialize", *MEDIA_ASSETS]
    assert "to do: every row is fresh" in CliRunner().invoke(app, command).output
    said = CliRunner().invoke(mmfs, ["retry", "--store", listed.store.url])
    assert "1 rows are tried again by the next run" in said.output
    assert "next: mmfs materialize" in said.output
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "1 files to read" in done.output
    assert "1 media registered" in done.output
    assert _quarantine(listed) == {}


def test_a_launch_by_night_takes_up_what_is_to_be_tried_again(listed: World) -> None:
    _crash(listed)
    FeatureStore(listed.store).retry()
    graph = definitions_for(listed.settings).resolve_asset_graph()
    with listed.instance() as instance:
        launched = launch_missing(listed.settings, instance, title="nightly", assets=MEDIA_ASSETS)
        [backfill] = [instance.get_backfill(one) for one in launched.backfills]
        assert backfill is not None
        target = backfill.get_asset_backfill_data(graph).target_subset
    asked = target.get_partitions_subset(dg.AssetKey("raw_media"))
    assert set(asked.get_partition_keys()) == {SHARD}
