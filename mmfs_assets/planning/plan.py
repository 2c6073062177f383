"""What has to be materialized: shards of assets over shards, and assets of the whole store."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.assets import demo_training_run, duplicates
from mmfs_assets.assets.listings import report_listings
from mmfs_assets.definitions import definitions_for
from mmfs_assets.partitions import add_missing_shards, shards_of
from mmfs_assets.planning.freshness import Needs, shard_needs
from mmfs_assets.planning.orphans import end_orphans

#: Of the assets without partitions: whether they hold what a run would make now.
_IS_CURRENT = {"duplicates": duplicates.is_current, "demo_training_run": demo_training_run.is_current}


@dataclass(frozen=True)
class Plan:
    """What has to run.

    Attributes:
        store: The store.
        definitions: The code location.
        graph: Its assets.
        sharded: Names of the assets over shards that were asked about, upstream first.
        needs: By shard: which of them, and why.
        stale: Assets of the whole store that were asked about, upstream first: those that are not current, or stand
            below what has to run.
    """

    store: Store
    definitions: dg.Definitions
    graph: Any
    sharded: tuple[str, ...]
    needs: Needs
    stale: tuple[str, ...]


def make_plan(
    settings: Settings, instance: dg.DagsterInstance, *, assets: Collection[str] | None = None, missing: bool = True
) -> Plan:
    """Look at the store and at Dagster's history, after telling Dagster of new shards and new listings.

    Args:
        assets: Names of the assets to look at; default: all.
        missing: Only what is missing or stale; else every shard.

    Raises:
        SettingsError: There is no such asset.
    """
    store = Store.open(settings=settings)
    definitions = definitions_for(store.settings)
    graph = definitions.resolve_asset_graph()
    chosen = chosen_assets(graph, assets)
    end_orphans(instance)
    shards = shards_of(store)
    add_missing_shards(instance, shards)
    report_listings(instance, store)

    sharded = tuple(asset for asset in chosen if graph.get(dg.AssetKey(asset)).is_partitioned)
    # Other assets of the whole store, such as upkeep, run when they are asked for by name.
    whole = tuple(asset for asset in chosen if asset not in sharded and (assets or asset in _IS_CURRENT))
    needs = shard_needs(instance, store, graph, sharded, shards)
    if not missing:
        needs = {shard: dict.fromkeys(sharded, "asked for") | needs.get(shard, {}) for shard in shards}
    running = {asset for causes in needs.values() for asset in causes}
    stale = []
    for asset in whole if shards else ():
        above = {key.to_user_string() for key in graph.get(dg.AssetKey(asset)).parent_keys}
        if not missing or above & running or not is_current(asset, instance, store):
            stale.append(asset)
    return Plan(store, definitions, graph, sharded, needs, tuple(stale))


def is_current(asset: str, instance: dg.DagsterInstance, store: Store) -> bool:
    """Whether an asset of the whole store holds what a run would make now."""
    return asset in _IS_CURRENT and _IS_CURRENT[asset](instance, store)


def chosen_assets(graph: Any, assets: Collection[str] | None) -> list[str]:
    """Names of the assets that were asked for, upstream first; all of them where none is named.

    Raises:
        SettingsError: There is no such asset.
    """
    order = [key.to_user_string() for key in graph.toposorted_asset_keys if key in graph.materializable_asset_keys]
    unknown = sorted(set(assets or ()) - set(order))
    if unknown:
        raise SettingsError(f"there is no asset {unknown[0]!r}", mend="assets: " + ", ".join(order))
    return [asset for asset in order if not assets or asset in assets]
