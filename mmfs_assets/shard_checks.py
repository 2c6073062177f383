"""Asset checks made of functions that look at one shard.

A check looks at the shards of its run, and again at those that failed the last time: it turns green only when they are
mended. Run by itself, it looks at all shards.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from mmfs.errors import MmfsError
from mmfs.store import Store
from mmfs_assets.partitions import shards_of
from mmfs_resources import StoreResource

#: Lists what is wrong in a shard, in words; nothing when all is well.
Problems = Callable[[Store, str], list[str]]

_FAILING = "failing_shards"
_SHOWN = 20


@dataclass(frozen=True)
class ShardCheck:
    """One check.

    Attributes:
        name: What holds when it passes, as a snake_case sentence.
        problems: Lists what is wrong in a shard.
        severity: WARN where the data are still right.
    """

    name: str
    problems: Problems
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


def shard_checks(asset: str, *checks: ShardCheck) -> dg.AssetChecksDefinition:
    """The checks of one asset, as one step."""
    key = dg.AssetKey(asset)
    specs = [dg.AssetCheckSpec(check.name, asset=key, description=_sentence(check.name)) for check in checks]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def run_checks(context: dg.AssetCheckExecutionContext, store: StoreResource) -> Iterator[dg.AssetCheckResult]:
        opened = store.get()
        for check in checks:
            check_key = dg.AssetCheckKey(key, check.name)
            if check_key in context.selected_asset_check_keys:
                yield _result(check_key, check, opened, _shards(context, opened, check_key))

    return run_checks


def _result(key: dg.AssetCheckKey, check: ShardCheck, store: Store, shards: list[str]) -> dg.AssetCheckResult:
    found = {shard: texts for shard in shards if (texts := _problems(check, store, shard))}
    lines = [f"{shard}: {text}" for shard, texts in found.items() for text in texts]
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not found,
        severity=check.severity,
        description="; ".join(lines[:_SHOWN]) or f"holds in {len(shards)} shards",
        metadata={"shards": len(shards), _FAILING: list(found)},
    )


def _problems(check: ShardCheck, store: Store, shard: str) -> list[str]:
    try:
        return check.problems(store, shard)
    except MmfsError as error:
        return [str(error)]


def _shards(context: dg.AssetCheckExecutionContext, store: Store, key: dg.AssetCheckKey) -> list[str]:
    tags = context.run.tags
    if "dagster/partition" in tags:
        of_run = [tags["dagster/partition"]]
    elif "dagster/asset_partition_range_start" in tags:
        of_run = list(context.partition_keys)
    else:
        return shards_of(store)
    return sorted({*of_run, *_failed_before(context.instance, key)})


def _failed_before(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> list[str]:
    for record in instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    ):
        event = record.event.dagster_event if record.event else None
        value = event.asset_check_evaluation_data.metadata[_FAILING].value if event else []
        return [str(shard) for shard in value] if isinstance(value, list) else []
    return []


def _sentence(name: str) -> str:
    return name.replace("_", " ").capitalize() + "."
