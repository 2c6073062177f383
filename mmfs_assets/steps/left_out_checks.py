"""What the checks come to that a failing step keeps from being executed: its own, and those of what stands below it.

Dagster would show each of them as failed, without a word. What can be looked at is looked at here; of the rest it is
said again what was found the last time.
"""

from collections.abc import Collection, Iterator

import dagster as dg
from dagster import AssetCheckEvaluation
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mmfs.store import Store
from mmfs_assets.assets.checks import checks_of
from mmfs_assets.assets.shard_checks import failed_before, last_evaluation, look_at
from mmfs_assets.partitions import counted

_BEFORE = "; before: "


def conclude_checks(
    context: dg.AssetExecutionContext, store: Store, done: Collection[str], failed: Collection[str]
) -> None:
    """Log an evaluation of each check that the run was to execute, and will not since this step fails.

    Args:
        done: Shards that were finished; checks of the asset look at them, and at those that failed them before.
        failed: Shards that were not.
    """
    asset = context.asset_key
    own = {check.name: check for check in checks_of(store.settings).get(asset.to_user_string(), ())}
    found: AssetCheckEvaluation | dg.AssetCheckResult
    for key in _left_out(context):
        check = own.get(key.name) if key.asset_key == asset and done else None
        if check:
            shards = {*done, *failed_before(context.instance, key)}
            found = look_at(key, check, store, sorted(shards))
            text = f"not looked at: {counted(len(set(failed) - shards))} that failed; {found.description}"
        else:
            found = _as_before(context.instance, key)
            before = (found.description or "").rpartition(_BEFORE)[2]
            text = f"not looked at: {counted(len(failed))} of {asset.to_user_string()} failed{_BEFORE}{before}"
        context.log_event(
            AssetCheckEvaluation(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=found.passed,
                severity=found.severity,
                metadata=found.metadata or {},
                description=text,
            )
        )


def _as_before(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> AssetCheckEvaluation | dg.AssetCheckResult:
    never = dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="never")
    return last_evaluation(instance, key) or never


def _left_out(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckKey]:
    """Checks of the run, still to be executed, of this asset and of those that wait for it."""
    layer = context.job_def.asset_layer
    graph, reached = layer.asset_graph, [context.asset_key]
    for key in reached:
        children = graph.get(key).child_keys & layer.executable_asset_keys
        reached += sorted(children - set(reached))
    checks = sorted(graph.get_check_keys_for_assets(set(reached)))
    last = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    for check in checks:
        record = last.get(check)
        if record and record.run_id == context.run_id and record.status == AssetCheckExecutionRecordStatus.PLANNED:
            yield check
