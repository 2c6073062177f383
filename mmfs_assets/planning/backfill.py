"""Hand over what is needed to Dagster's daemon: one backfill with the exact shards of each asset.

The daemon cuts it into runs of ``shards_per_run`` shards. Where assets need the same shards, a run takes the whole
chain through them; where they do not, downstream waits for upstream. If a shard fails, what is downstream of its run is
left to the next launch, which finds the finished shards fresh.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._daemon.controller import get_daemon_statuses
from dagster._daemon.daemon import BackfillDaemon
from dagster._time import get_current_timestamp

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.partitions import SHARDS
from mmfs_assets.planning.freshness import FAILED, RUNNING
from mmfs_assets.planning.plan import make_plan, still_stale

#: Tag of backfills that are launched here.
LAUNCHED = {"mmfs/launched": "what is missing or stale"}
_UNFINISHED = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


@dataclass(frozen=True)
class UnderWay:
    """What backfills that are not over yet will still run.

    Attributes:
        backfills: Their ids.
        shards: Shards of any asset.
        whole: Assets without partitions.
    """

    backfills: tuple[str, ...]
    shards: frozenset[str]
    whole: frozenset[str]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, graph: BaseAssetGraph) -> "UnderWay":  # type: ignore[type-arg]
        """As the daemon has noted it."""
        ids: list[str] = []
        shards: set[str] = set()
        whole: set[str] = set()
        for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=_UNFINISHED)):
            if backfill.is_asset_backfill:
                ids.append(backfill.backfill_id)
                data = backfill.get_asset_backfill_data(graph)
                left = data.get_targeted_partitions_without_materialization_status()
                for subset in left.partitions_subsets_by_asset_key.values():
                    shards.update(subset.get_partition_keys())
                whole.update(key.to_user_string() for key in left.non_partitioned_asset_keys)
        return cls(tuple(ids), frozenset(shards), frozenset(whole))


def launch_backfill(
    instance: dg.DagsterInstance,
    graph: BaseAssetGraph,  # type: ignore[type-arg]
    needs: Mapping[str, Mapping[str, object]],
    *,
    title: str,
    whole: Sequence[str] = (),
    under_way: UnderWay | None = None,
) -> str | None:
    """One backfill of what is needed, but for shards that a run or an unfinished backfill works on.

    Args:
        graph: The asset graph.
        needs: By shard: the assets that have to run, and why.
        title: Shown in the UI.
        whole: Assets of the whole store that follow: each runs after all that is above it.
        under_way: What is not launched a second time; default: as it is now.

    Returns:
        Its id; None when there is nothing to run.
    """
    under_way = under_way or UnderWay.of(instance, graph)
    sets: dict[dg.AssetKey, list[str]] = {}
    for shard, causes in needs.items():
        if shard not in under_way.shards and RUNNING not in causes.values():
            for asset in causes:
                sets.setdefault(dg.AssetKey(asset), []).append(shard)
    following = {dg.AssetKey(asset) for asset in whole if asset not in under_way.whole}
    if not sets and not following:
        return None
    backfill_id = uuid.uuid4().hex[:8]
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=backfill_id,
        backfill_timestamp=get_current_timestamp(),
        tags=LAUNCHED,
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]
            partitions_subsets_by_asset_key={
                key: SHARDS.empty_subset().with_partition_keys(shards) for key, shards in sets.items()
            },
            non_partitioned_asset_keys=following,
        ),
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill_id


def launch_missing(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    title: str,
    assets: Sequence[str] | None = None,
    missing: bool = True,
) -> str | None:
    """Look at what is missing or stale, and launch it.

    Args:
        title: Shown in the UI.
        assets: Names of the assets to look at; default: all.
        missing: Only what is missing or stale; else every shard.

    Returns:
        The backfill's id; None when there is nothing to run.

    Raises:
        SettingsError: There is no such asset.
    """
    plan = make_plan(settings, instance, assets=assets, missing=missing)
    under_way = UnderWay.of(instance, plan.graph)
    launched = launch_backfill(instance, plan.graph, plan.needs, title=title, whole=plan.stale, under_way=under_way)
    if plan.needs and all(FAILED in causes.values() for causes in plan.needs.values()):
        # Shards that failed may fail again, and assets of the whole store would wait for them for ever.
        waiting = [asset for asset in plan.stale if still_stale(plan, instance, asset)]
        apart = f"{title}: whole store, without shards that failed"
        launch_backfill(instance, plan.graph, {}, title=apart, whole=waiting, under_way=under_way)
    return launched


def require_daemon(instance: dg.DagsterInstance) -> None:
    """Make sure that somebody takes up what is launched.

    Raises:
        SettingsError: No daemon works on this history.
    """
    kind = BackfillDaemon.daemon_type()
    if not get_daemon_statuses(instance, [kind], ignore_errors=True)[kind].healthy:
        raise SettingsError(
            "no Dagster daemon works on this history, so nobody would take up the backfill",
            where=instance.root_directory,
            mend="start `mmfs ui` or `dagster-daemon run` with the same DAGSTER_HOME, or run without --launch",
        )
