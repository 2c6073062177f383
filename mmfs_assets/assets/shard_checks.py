"""Asset checks made of functions that look at one shard.

A check looks at the shards of its run, and again at those that failed the last time: it turns green only when they are
mended. Run by itself, it looks at all shards that are materialized; what is missing is not wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from mmfs.errors import MmfsError
from mmfs.store import Store
from mmfs.store.problem import Problem
from mmfs_assets.partitions import counted, shards_of
from mmfs_resources import StoreResource

#: Lists what is wrong in a shard; nothing when all is well.
Problems = Callable[[Store, str], list[Problem]]

_FAILING = "failing_shards"
#: Problems in the one line that lists of checks show, and in the table below it.
_SAID, _LISTED = 3, 100
_COLUMNS = [
    dg.TableColumn("shard", "string", "Partition."),
    dg.TableColumn("problem", "string", "What is wrong."),
    dg.TableColumn("count", "int", "Rows or files concerned."),
    dg.TableColumn("first", "string", "Keys or files, for `mmfs show`."),
]


@dataclass(frozen=True)
class ShardCheck:
    """One check.

    Attributes:
        name: What holds when it passes, as a snake_case sentence.
        about: What is compared, in a sentence or two.
        mend: What to do when it fails.
        problems: Lists what is wrong in a shard.
        severity: WARN where the data are still right.
    """

    name: str
    about: str
    mend: str
    problems: Problems
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR

    @property
    def description(self) -> str:
        """What people read before they know whether it passed."""
        return f"{self.about}\n\n**When it fails:** {self.mend}"


def shard_checks(asset: str, *checks: ShardCheck) -> dg.AssetChecksDefinition:
    """The checks of one asset, as one step."""
    key = dg.AssetKey(asset)
    specs = [dg.AssetCheckSpec(check.name, asset=key, description=check.description) for check in checks]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def run_checks(context: dg.AssetCheckExecutionContext, store: StoreResource) -> Iterator[dg.AssetCheckResult]:
        opened = store.get()
        for check in checks:
            check_key = dg.AssetCheckKey(key, check.name)
            if check_key in context.selected_asset_check_keys:
                yield look_at(check_key, check, opened, _shards(context, opened, check_key))

    return run_checks


def look_at(key: dg.AssetCheckKey, check: ShardCheck, store: Store, shards: Sequence[str]) -> dg.AssetCheckResult:
    """What one check finds in these shards."""
    found = {shard: problems for shard in shards if (problems := _problems(check, store, shard))}
    figures: dict[str, Any] = {"shards": len(shards), "shards_failing": len(found)}
    if not found:
        return dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=True,
            description=f"holds in {counted(len(shards))}",
            metadata=figures,
        )
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=False,
        severity=check.severity,
        description=f"{len(found)} of {counted(len(shards))} fail. {_said(found)}. Mend: {check.mend}",
        metadata={**figures, "problems": _table(found), _FAILING: list(found)},
    )


def _problems(check: ShardCheck, store: Store, shard: str) -> list[Problem]:
    try:
        with store.tables.one_moment():
            return check.problems(store, shard)
    except MmfsError as error:
        return [Problem(str(error), 1)]


def _worst_first(found: Mapping[str, list[Problem]]) -> list[tuple[str, Problem]]:
    pairs = [(shard, problem) for shard, problems in found.items() for problem in problems]
    return sorted(pairs, key=lambda pair: -pair[1].count)


def _said(found: Mapping[str, list[Problem]]) -> str:
    pairs = _worst_first(found)
    more = f"; and {len(pairs) - _SAID} more, see `problems`" if len(pairs) > _SAID else ""
    return "; ".join(f"{shard}: {problem}" for shard, problem in pairs[:_SAID]) + more


def _table(found: Mapping[str, list[Problem]]) -> dg.TableMetadataValue:
    rows: list[dict[str, str | int | float | bool | None]] = [
        {"shard": shard, "problem": problem.what, "count": problem.count, "first": ", ".join(problem.examples)}
        for shard, problem in _worst_first(found)[:_LISTED]
    ]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], dg.TableSchema(_COLUMNS))


def _shards(context: dg.AssetCheckExecutionContext, store: Store, key: dg.AssetCheckKey) -> list[str]:
    tags = context.run.tags
    if "dagster/partition" in tags:
        of_run = [tags["dagster/partition"]]
    elif "dagster/asset_partition_range_start" in tags:
        of_run = list(context.partition_keys)
    else:
        return sorted(set(shards_of(store)) & context.instance.get_materialized_partitions(key.asset_key))
    return sorted({*of_run, *failed_before(context.instance, key)})


def failed_before(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> list[str]:
    """The shards that failed a check the last time."""
    event = last_evaluation(instance, key)
    known = event.metadata.get(_FAILING) if event else None
    return [str(shard) for shard in known.value] if known and isinstance(known.value, list) else []


def last_evaluation(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """What a check found the last time."""
    for record in instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    ):
        return record.evaluation
    return None
