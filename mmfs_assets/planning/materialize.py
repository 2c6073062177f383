"""Run what is missing or stale through Dagster, in this process; the UI shows these runs like any other."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.execute_in_process import core_execute_in_process

from mmfs.settings import Settings
from mmfs_assets.automation.alerts import step_failure
from mmfs_assets.execution.waiting import in_process_executor
from mmfs_assets.planning.orphans import process_tag
from mmfs_assets.planning.plan import is_current, make_plan
from mmfs_assets.planning.runs import PlannedRun, plan_runs
from mmfs_assets.planning.watch import Silent, Watcher
from mmfs_assets.steps.metadata import ROWS_ADOPTED, ROWS_COMPUTED, SECONDS

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Materialized:
    """What a call did.

    Attributes:
        runs: Run ids, in order.
        planned: The runs that were found necessary.
        failures: Why assets failed, by run id.
        computed: Rows computed or taken over, by asset, as the materializations say.
        seconds: Wall time by asset, without what Dagster adds.
    """

    runs: list[str] = field(default_factory=list)
    planned: list[PlannedRun] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=dict)
    computed: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)


def materialize(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    assets: Sequence[str] | None = None,
    missing: bool = True,
    watcher: Watcher | None = None,
) -> Materialized:
    """Run assets over shards, neighbouring shards together, the whole chain in one run.

    Args:
        settings: Say the store.
        instance: Where runs and events are recorded.
        assets: Names of the assets to run; default: all.
        missing: Run only where something is missing or stale; else over all shards.
        watcher: Told of every event, to show progress.

    Raises:
        SettingsError: There is no such asset.
    """
    plan = make_plan(settings, instance, assets=assets, missing=missing)
    job = plan.definitions.resolve_implicit_global_asset_job_def()
    done = Materialized()
    for run in plan_runs(
        plan.needs,
        partitions=instance.get_dynamic_partitions("shard"),
        assets=plan.sharded,
        shards_per_run=plan.store.settings.shards_in_run,
    ):
        _execute(job, instance, run, done, watcher or Silent())
    for asset in plan.stale:
        if not missing or not is_current(asset, instance, plan.store):
            _execute(job, instance, PlannedRun((), (asset,)), done, watcher or Silent())
    return done


def _execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, run: PlannedRun, done: Materialized, watcher: Watcher
) -> None:
    run_id = str(uuid.uuid4())
    done.runs.append(run_id)
    done.planned.append(run)
    instance.add_event_listener(run_id, watcher.event)
    watcher.started(run)
    selection = [dg.AssetKey(asset) for asset in run.assets]
    # As `execute_in_process` does it, but for its executor, which keeps a processor busy while a pool is full.
    here = job.as_ephemeral_job(resource_defs={}, input_values={}, asset_selection=selection)
    result = core_execute_in_process(
        job=InMemoryJob(here.with_executor_def(in_process_executor)),
        instance=instance,
        run_id=run_id,
        run_config=_QUIET,
        asset_selection=frozenset(selection),
        run_tags={**run.tags, **process_tag()},
        output_capturing_enabled=True,
        raise_on_error=False,
    )
    # The last event of a shard counts: one that keeps its data version follows another.
    made = {
        (event.asset_key.to_user_string(), event.partition): event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }
    for (asset, _), materialization in made.items():
        _add(done, asset, materialization)
    if not result.success:
        done.failures[run_id] = [step_failure(event) for event in result.all_events if event.is_step_failure] or [
            "the run failed before its first step; see the run in the UI"
        ]


def _add(done: Materialized, asset: str, made: dg.AssetMaterialization) -> None:
    """Count what one event says; every shard of a run has an event of its own."""
    figures = {name: value.value for name, value in made.metadata.items()}
    rows = [figures.get(name) for name in (ROWS_COMPUTED, ROWS_ADOPTED)]
    done.computed[asset] += sum(count for count in rows if isinstance(count, int))
    seconds = figures.get(SECONDS)
    done.seconds[asset] = done.seconds.get(asset, 0.0) + (seconds if isinstance(seconds, float) else 0.0)
