"""Hand over what is needed to Dagster's daemon: backfills with the exact shards of each asset.

Shards that failed the last time are in a backfill of their own, since they may fail again and nobody should wait for
them; all else is in one. The daemon cuts a backfill into runs of ``shards_per_run`` shards. Where assets need the same
shards, a run takes the whole chain through them; where they do not, downstream waits for upstream. If a shard fails,
what is downstream of its run is left to the next launch, which finds the finished shards fresh.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._daemon.controller import get_daemon_statuses
from dagster._time import get_current_timestamp

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.partitions import SHARDS
from mmfs_assets.planning.freshness import FAILED, RUNNING, Needs
from mmfs_assets.planning.plan import Plan, make_plan

#: Tag of backfills that are launched here.
LAUNCHED = {"mmfs/launched": "what is missing or stale"}
_UNFINISHED = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
#: On top of the half minute between heartbeats. A large backfill may keep one part of a daemon silent for longer, so
#: that one part heard of is enough.
_SILENT_S = 90.0


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


@dataclass(frozen=True)
class Launched:
    """What was handed over, and what was left.

    Attributes:
        backfills: Ids of the new backfills.
        busy: Shards that need something and were left to the runs and backfills that work on them.
        working: Ids of those backfills.
        waiting: Assets of the whole store that are left to the next launch.
    """

    backfills: tuple[str, ...]
    busy: tuple[str, ...]
    working: tuple[str, ...]
    waiting: tuple[str, ...]

    def left(self) -> str:
        """What was left, and why, in words.

        >>> Launched(backfills=(), busy=("000000", "000001"), working=("ab", "cd"), waiting=()).left()
        'under way already: 2 shards, backfills ab, cd'
        >>> Launched(backfills=("ef",), busy=(), working=(), waiting=("duplicates",)).left()
        'left to the next launch, since what they read is not there yet: duplicates'
        """
        parts = []
        under_way = [f"{len(self.busy)} shards"] if self.busy else []
        under_way += [f"backfills {', '.join(self.working)}"] if self.working else []
        if under_way:
            parts.append(f"under way already: {', '.join(under_way)}")
        if self.waiting:
            parts.append(f"left to the next launch, since what they read is not there yet: {', '.join(self.waiting)}")
        return "; ".join(parts)


def launch_missing(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    title: str,
    assets: Collection[str] | None = None,
    missing: bool = True,
) -> Launched:
    """Look at what is missing or stale, and launch it, but for shards that a run or an unfinished backfill works on.

    Assets of the whole store follow in the backfill of what did not fail. Where shards above them are under way, they
    would run over half of them: so they are left to the next launch.

    Args:
        title: Shown in the UI.
        assets: Names of the assets to look at; default: all.
        missing: Only what is missing or stale; else every shard.

    Raises:
        SettingsError: There is no such asset.
    """
    plan = make_plan(settings, instance, assets=assets, missing=missing)
    under_way = UnderWay.of(instance, plan.graph)
    busy: Needs = {}
    failed: Needs = {}
    sound: Needs = {}
    for shard, causes in plan.needs.items():
        is_busy = shard in under_way.shards or RUNNING in causes.values()
        (busy if is_busy else failed if FAILED in causes.values() else sound)[shard] = causes
    waiting = _waiting(instance, plan, busy, sound)
    whole = [asset for asset in plan.stale if asset not in waiting and asset not in under_way.whole]
    made = (
        launch_backfill(instance, plan.graph, sound, title=title, whole=whole),
        launch_backfill(instance, plan.graph, failed, title=f"{title}: shards that failed"),
    )
    working = {under_way.shards[shard] for shard in busy if shard in under_way.shards}
    working |= {under_way.whole[asset] for asset in plan.stale if asset in under_way.whole}
    return Launched(
        backfills=tuple(backfill for backfill in made if backfill),
        busy=tuple(busy),
        working=tuple(sorted(working)),
        waiting=tuple(asset for asset in waiting if asset not in under_way.whole),
    )


def _waiting(instance: dg.DagsterInstance, plan: Plan, busy: Needs, sound: Needs) -> list[str]:
    """Assets of the whole store that read what is not there yet; shards that failed keep none of them waiting."""
    unfinished = {asset for causes in busy.values() if FAILED not in causes.values() for asset in causes}
    coming = {asset for causes in sound.values() for asset in causes}
    waiting: list[str] = []
    for asset in plan.stale:
        above = {key.to_user_string() for key in plan.graph.get(dg.AssetKey(asset)).parent_keys}
        still = (above & set(plan.sharded)) - coming
        is_empty = any(instance.get_latest_materialization_event(dg.AssetKey(name)) is None for name in still)
        if is_empty or above & {*unfinished, *waiting}:
            waiting.append(asset)
    return waiting


def launch_backfill(
    instance: dg.DagsterInstance,
    graph: BaseAssetGraph,  # type: ignore[type-arg]
    needs: Mapping[str, Mapping[str, object]],
    *,
    title: str,
    whole: Collection[str] = (),
) -> str | None:
    """One backfill of what is needed.

    Args:
        graph: The asset graph.
        needs: By shard: the assets that have to run, and why.
        title: Shown in the UI.
        whole: Assets of the whole store that follow: each runs after all that is above it.

    Returns:
        Its id; None when there is nothing to run.
    """
    sets: dict[dg.AssetKey, list[str]] = {}
    for shard, causes in needs.items():
        for asset in causes:
            sets.setdefault(dg.AssetKey(asset), []).append(shard)
    if not sets and not whole:
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
            non_partitioned_asset_keys={dg.AssetKey(asset) for asset in whole},
        ),
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill_id


def require_daemon(instance: dg.DagsterInstance) -> None:
    """Make sure that somebody takes up what is launched.

    Raises:
        SettingsError: No daemon works on this history.
    """
    parts = get_daemon_statuses(
        instance,
        instance.get_required_daemon_types(),
        ignore_errors=True,
        heartbeat_tolerance_seconds=_SILENT_S,
    )
    if not any(part.healthy for part in parts.values()):
        raise SettingsError(
            "no Dagster daemon works on this history, so nobody would take up the backfill",
            where=instance.root_directory,
            mend="start `mmfs ui` or `dagster-daemon run -m mmfs_assets.definitions` with the same DAGSTER_HOME, "
            "or run without --launch",
        )
