"""A worker with other code than the one that planned its run."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from mmfs.settings import FramesConfig, Settings
from mmfs_assets.definitions import definitions_for
from tests.assets.conftest import World


def _job(settings: Settings, *assets: str) -> dg.JobDefinition:
    job = definitions_for(settings).resolve_implicit_global_asset_job_def()
    return job.get_subset(asset_selection={dg.AssetKey(asset) for asset in assets})


@pytest.mark.parametrize("changed", [True, False])
def test_other_code_is_noticed_before_anything_is_computed_and_what_is_the_same_runs(
    fresh: World, changed: bool
) -> None:
    other = fresh.settings.model_copy(update={"frames": FramesConfig(short_side=20)})
    planned = _job(fresh.settings, "frames", "captions")
    worker = _job(other if changed else fresh.settings, "frames", "captions")
    before = fresh.store.tables.version("frames")
    with fresh.instance() as instance:
        run = instance.create_run_for_job(planned, tags={"dagster/partition": "000000"})
        ended = execute_run(InMemoryJob(worker), run, instance)
        failures = {
            event.step_key: event.step_failure_data.user_failure_data.description
            for event in ended.all_events
            if event.is_step_failure and event.step_failure_data.user_failure_data
        }
    assert ended.success is not changed
    assert fresh.store.tables.version("frames") == before
    if changed:
        assert set(failures) == {"frames"}, "captions is the same in both"
        assert "this worker runs other code of frames" in failures["frames"]
        assert "restart" in failures["frames"]
