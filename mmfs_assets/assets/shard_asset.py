"""What all assets over shards have in common."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from mmfs.schemas import TableSpec
from mmfs.settings import Settings
from mmfs_assets.assets.source_code import source_metadata
from mmfs_assets.assets.table_schema import column_schema
from mmfs_assets.automation.conditions import new_or_stale
from mmfs_assets.execution.executors import retry_policy, step_tags
from mmfs_assets.partitions import SHARDS, backfill_policy
from mmfs_assets.steps.code_guard import code_tags

#: Definition metadata that names the tables whose rows decide what the asset holds.
READS = "mmfs/reads"
OWNERS = ["team:mmfs"]

Decorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def shard_asset(
    settings: Settings,
    *,
    name: str,
    group: str,
    kinds: set[str],
    code_version: str,
    reads: Sequence[str],
    description: str,
    source: type | Callable[..., Any],
    deps: Sequence[str] = (),
    table: TableSpec | None = None,
    pool: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Decorator:
    """A decorator for an asset partitioned by shard.

    Args:
        code_version: Changes when the same inputs would give other rows.
        reads: Tables whose rows of the shard decide what the asset holds.
        description: Markdown; its first line stands in lists.
        source: The function or class that computes, for people to look at.
        deps: Upstream assets.
        table: The Delta table it fills, shown as its columns; None where it is not known yet.
        pool: ``gpu`` or ``index``: steps of a pool wait for one another.
        metadata: More to know of the definition.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy
        return dg.asset(
            name=name,
            partitions_def=SHARDS,
            backfill_policy=backfill_policy(settings),
            automation_condition=new_or_stale(),
            code_version=code_version,
            deps=list(deps),
            group_name=group,
            kinds=kinds,
            owners=OWNERS,
            description=description,
            metadata={**_definition_metadata(name, reads, table), **source_metadata(source), **(metadata or {})},
            pool=pool,
            op_tags={**step_tags(settings, gpu=pool == "gpu"), **code_tags(code_version)},
            retry_policy=retry_policy(settings),
        )


def _definition_metadata(name: str, reads: Sequence[str], table: TableSpec | None) -> Mapping[str, Any]:
    metadata: dict[str, Any] = {READS: list(reads), "dagster/table_name": name}
    return {**metadata, "dagster/column_schema": column_schema(table)} if table else metadata
