"""A GPU is asked for and there is none: said before anything is computed, once, with the setting and the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from mmfs.cli.app import app
from mmfs.client import FeatureStore
from mmfs.features.device import gpu_count
from mmfs_assets.planning.materialize import materialize
from tests.assets.conftest import World

LACKS_GPU = pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU here")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"device": "cuda"}, "there is no device cuda: torch sees 0 GPUs here [MMFS_DEVICE]; set MMFS_DEVICE=auto or"),
        ({"device": "auto", "executor": "gpu_box"}, "the executor gpu_box wants one [MMFS_EXECUTOR]; see that torch"),
    ],
    ids=["asked for by name", "a box"],
)
@LACKS_GPU
def test_the_run_says_it_once_and_computes_nothing(fresh: World, changed: dict[str, Any], said: str) -> None:
    settings = fresh.settings.model_copy(update=changed)
    before = fresh.store.tables.names()
    with fresh.instance() as instance:
        done = materialize(settings, instance, assets=["depth_maps"])
        [run] = done.runs
        failures = [
            entry for entry in instance.all_logs(run) if entry.dagster_event and entry.dagster_event.is_step_failure
        ]
    [texts] = done.failures.values()
    [text] = texts
    assert said in text
    # What the UI shows of the step is the same sentence, once for all shards of the run.
    [failure] = failures
    assert failure.dagster_event is not None
    told = failure.dagster_event.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == text
    assert fresh.store.tables.names() == before


@LACKS_GPU
def test_what_stands_above_the_model_is_kept_in_a_store_that_was_only_listed(ingested: World, tmp_path: Path) -> None:
    world = World(tmp_path / "world", ingested.models)
    world.root.mkdir()
    FeatureStore(world.store).ingest([world.media])
    settings = world.settings.model_copy(update={"device": "cuda"})
    with world.instance() as instance:
        done = materialize(settings, instance, assets=["raw_media", "frames", "depth_maps"])
    [[text]] = done.failures.values()
    assert "there is no device cuda" in text
    assert sum(world.store.tables.shards("frames").values()) == 5
    assert "depth_maps" not in world.store.tables


@LACKS_GPU
def test_the_command_line_says_it_without_a_traceback(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STORE", fresh.settings.store)
    monkeypatch.setenv("DAGSTER_HOME", str(fresh.root / "home"))
    monkeypatch.setenv("MMFS_DEVICE", "cuda:3")
    answer = CliRunner().invoke(app, ["materialize", "depth_maps"])
    said = " ".join(answer.output.split()) + str(answer.exception)
    assert answer.exit_code == 1
    assert "cuda:3" in said
    assert "MMFS_DEVICE" in said
    with dg.DagsterInstance.from_config(str(fresh.root / "home")) as instance:
        assert not instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
