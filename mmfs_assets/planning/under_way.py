"""What unfinished backfills will still run: nobody launches it a second time."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

_UNFINISHED = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


@dataclass(frozen=True)
class UnderWay:
    """What backfills that are not over yet will still run.

    Attributes:
        shards: Backfills by shard of any asset.
        whole: Backfills by asset without partitions.
    """

    shards: Mapping[str, str]
    whole: Mapping[str, str]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, graph: BaseAssetGraph) -> "UnderWay":  # type: ignore[type-arg]
        """As the daemon has noted it."""
        shards: dict[str, str] = {}
        whole: dict[str, str] = {}
        for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=_UNFINISHED)):
            if backfill.is_asset_backfill:
                data = backfill.get_asset_backfill_data(graph)
                left = data.get_targeted_partitions_without_materialization_status()
                for subset in left.partitions_subsets_by_asset_key.values():
                    shards |= dict.fromkeys(subset.get_partition_keys(), backfill.backfill_id)
                assets = (key.to_user_string() for key in left.non_partitioned_asset_keys)
                whole |= dict.fromkeys(assets, backfill.backfill_id)
        return cls(shards, whole)
