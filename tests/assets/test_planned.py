"""What a materialization says before it runs, against what it then does."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from mmfs.client.plan import plan_store
from mmfs.features.registry import registered
from mmfs.settings import FramesConfig
from mmfs.store import Store
from mmfs_assets.commands import app
from tests.assets.conftest import SHARDS, World

BROKEN = 1  # one of the six files is no picture


def planned(world: World, *assets: str) -> dict[str, int]:
    plans = plan_store(world.store, assets or None)
    return {table: plan.to_compute for table, plan in plans.items() if plan.to_compute}


def test_the_rows_of_a_first_run_are_those_that_were_planned(fresh: World) -> None:
    chosen = ["clip_embeddings", "frame_quality", "prompt_scores"]
    before = planned(fresh, *chosen)
    assert before == dict.fromkeys(chosen, 5)
    done = fresh.materialize(*chosen)
    assert done.failures == {}
    assert [run.shards for run in done.planned] == [tuple(SHARDS)]
    assert done.computed == before
    assert all(done.seconds[asset] > 0 for asset in chosen)
    assert planned(fresh, *chosen) == {}
    assert planned(fresh, "depth_maps") == {"depth_maps": 5}


def test_a_change_of_sampling_is_planned_down_to_every_feature(done: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = done.settings.model_copy(update={"frames": FramesConfig(short_side=20)})
    monkeypatch.setattr(World, "settings", settings)
    of_frames = [table for table, spec in registered(settings).items() if spec.grain == "frame"]
    assert planned(done) == dict.fromkeys(["frames", *of_frames], 5)
    chosen = ["frames", "frame_quality", "captions"]
    assert planned(done, *chosen) == {"frames": 5, "frame_quality": 5}
    assert done.materialize(*chosen).computed == {"frames": 5, "frame_quality": 5}


def test_the_command_says_what_it_will_do_and_what_it_did(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fresh.settings
    monkeypatch.setattr("mmfs_assets.recorded.recorded_settings", lambda store: settings)
    monkeypatch.setattr("mmfs_assets.execution.home.open_instance", lambda settings: fresh.instance())
    said = CliRunner().invoke(app, ["materialize", "clip_embeddings", "depth_maps"])
    assert said.exit_code == 0, said.output
    assert "to do: 2 assets, 10 rows to compute, time not measured yet" in said.output
    assert re.search(r"did: 2 assets, 10 rows computed, [\d.]+ s \([\d.]+ s in all\)", said.output)
    again = CliRunner().invoke(app, ["materialize", "clip_embeddings", "depth_maps"])
    assert "to do: every row is fresh" in again.output
    assert "did:" not in again.output


def test_figures_of_a_feature_are_numbers_that_can_be_plotted(finished: World) -> None:
    for shard in SHARDS:
        figures = {name: value.value for name, value in finished.last_event("depth_maps", shard).metadata.items()}
        for name in ("rows_per_s", "device_busy_share", "device_seconds", "queue_depth", "rows_adopted"):
            assert isinstance(figures[name], int | float), name
        stages = {name for name in figures if name.endswith("_ms_per_row")}
        assert {"read_ms_per_row", "prepare_ms_per_row", "model_ms_per_row", "write_ms_per_row"} == stages
        assert 0 < figures["device_busy_share"] <= 1
        assert f"{figures['bottleneck']}_ms_per_row" in stages
        assert figures["device"] == "cpu"
        assert figures["libraries"]["torch"]
        assert 0 < figures["mean_depth_min"] < figures["mean_depth_max"]
        assert figures["mean_depth_bytes"] > 0


def test_nothing_computed_means_no_figures_of_computing(done: World) -> None:
    assert done.run("depth_maps", SHARDS[0]).success
    figures = done.last_event("depth_maps", SHARDS[0]).metadata
    assert figures["rows_computed"].value == figures["rows_adopted"].value == 0
    assert "device_seconds" not in figures


def test_media_that_cannot_be_read_are_planned_as_files_and_give_no_rows(ingested: World) -> None:
    plans = plan_store(Store.open(settings=ingested.settings))
    assert (plans["raw_media"].rows, plans["raw_media"].fresh, plans["raw_media"].failed) == (6, 5, BROKEN)
