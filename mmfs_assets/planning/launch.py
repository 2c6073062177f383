"""Decide what Dagster's daemon is to run, and launch it.

Shards that failed the last time are in a backfill of their own, since they may fail again and nobody should wait for
them; all else is in one.
"""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from mmfs.settings import Settings
from mmfs_assets.partitions import counted
from mmfs_assets.planning.backfill import launch_backfill
from mmfs_assets.planning.freshness import FAILED, RUNNING, Needs
from mmfs_assets.planning.plan import Plan, make_plan
from mmfs_assets.planning.under_way import UnderWay


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
        under_way = [counted(len(self.busy))] if self.busy else []
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
