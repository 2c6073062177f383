"""Which shards of which assets a run would have to touch, and why.

A shard of an asset is fresh when Dagster knows a materialization of it that was made by today's code version, from
rows with the digests that its inputs have now, and that left the rows which are there now. Which rows inside a shard
are computed again is decided by their fingerprints, when it runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mmfs.store import Store
from mmfs_assets.inputs import CONTENT, INPUTS, content_digest, inputs_digest
from mmfs_assets.partitions import SHARDS
from mmfs_assets.shard_asset import READS

#: By shard: what has to run, and why.
Needs = dict[str, dict[str, str]]


def shard_needs(
    instance: dg.DagsterInstance,
    store: Store,
    graph: Any,
    assets: Sequence[str],
    shards: Sequence[str],
) -> Needs:
    """Causes by shard and asset, for those that are not fresh or stand below one that is not.

    Args:
        graph: The asset graph, as ``Definitions.resolve_asset_graph`` gives it.
        assets: Names of the partitioned assets to look at, upstream first.
        shards: Shards to look at; all must be partitions of the instance.
    """
    needs: Needs = {shard: {} for shard in shards}
    for asset in assets:
        node = graph.get(dg.AssetKey(asset))
        known = _materialized(instance, asset, shards)
        parents = {key.to_user_string() for key in node.parent_keys}
        for shard in shards:
            above = sorted(parents & needs[shard].keys())
            cause = _cause(store, asset, shard, known.get(shard), node.code_version, node.metadata[READS])
            if cause or above:
                needs[shard][asset] = cause or f"below {above[0]}"
    return {shard: causes for shard, causes in needs.items() if causes}


def _materialized(
    instance: dg.DagsterInstance, asset: str, shards: Sequence[str]
) -> Mapping[str, dg.AssetMaterialization]:
    """The last materialization of each shard, unless a later run of it failed."""
    key = dg.AssetKey(asset)
    status = instance.get_status_by_partition(key, list(shards), SHARDS) or {}
    found = {}
    for shard in shards:
        state = status.get(shard)
        if state is not None and state.value == "MATERIALIZED":
            wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[shard])
            for record in instance.fetch_materializations(wanted, limit=1).records:
                if record.asset_materialization:
                    found[shard] = record.asset_materialization
    return found


def _cause(
    store: Store,
    asset: str,
    shard: str,
    known: dg.AssetMaterialization | None,
    code_version: str | None,
    reads: Sequence[str],
) -> str | None:
    if known is None:
        return "never materialized, or failed the last time"
    if (known.tags or {}).get("dagster/code_version") != code_version:
        return "code or model changed"
    if _text(known, INPUTS) != inputs_digest(store, reads, shard):
        return "inputs changed"
    if _text(known, CONTENT) != content_digest(store, asset, shard):
        return "the table no longer holds what was materialized"
    return None


def _text(known: dg.AssetMaterialization, key: str) -> str | None:
    value = known.metadata.get(key)
    return str(value.value) if value is not None else None
