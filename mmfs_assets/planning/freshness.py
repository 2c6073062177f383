"""Which shards of which assets a run would have to touch, and why.

A shard of an asset is fresh when Dagster knows a materialization of it that was made by today's code version, from
rows with the digests that its inputs have now, and that left the rows which are there now. Which rows inside a shard
are computed again is decided by their fingerprints, when it runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from mmfs.ids import digest
from mmfs.ingest import returned_files
from mmfs.ingest.quarantine import unmarked
from mmfs.store import Store
from mmfs_assets.assets.shard_asset import READS
from mmfs_assets.partitions import SHARDS
from mmfs_assets.planning.last_events import LastEvent, remembered_events
from mmfs_assets.steps.inputs import Contents

#: Causes that follow from the state of the last run.
RUNNING, FAILED, NEVER = "a run works on it", "failed the last time", "never materialized"
#: What no event and no digest says.
RETURNED = "a file that was missing is there again"
RETRIED = "what failed is to be tried again"

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

    A few queries an asset, however many shards there are. The rows' digests are read only where a file is another one
    than the event names.

    Args:
        graph: The asset graph, as ``Definitions.resolve_asset_graph`` gives it.
        assets: Names of the partitioned assets to look at, upstream first.
        shards: Shards to look at; all must be partitions of the instance.
    """
    needs: Needs = {shard: {} for shard in shards}
    contents, unseen = Contents(store), _unseen(store)
    for asset in assets:
        node = graph.get(dg.AssetKey(asset))
        parents = {key.to_user_string() for key in node.parent_keys}
        causes = _causes(instance, contents, asset, shards, node.code_version, node.metadata[READS])
        for shard in shards:
            above = sorted(parents & needs[shard].keys())
            cause = causes.get(shard) or unseen.get((asset, shard))
            if cause or above:
                needs[shard][asset] = cause or f"below {above[0]}"
    return {shard: causes for shard, causes in needs.items() if causes}


def _unseen(store: Store) -> dict[tuple[str, str], str]:
    """Causes by asset and shard that only the table ``quarantine`` tells of."""
    return dict.fromkeys(unmarked(store), RETRIED) | dict.fromkeys(returned_files(store), RETURNED)


def _causes(
    instance: dg.DagsterInstance,
    contents: Contents,
    asset: str,
    shards: Sequence[str],
    code_version: str | None,
    reads: Sequence[str],
) -> dict[str, str]:
    """Why shards of one asset are not fresh."""
    status = instance.get_status_by_partition(dg.AssetKey(asset), list(shards), SHARDS) or {}
    known = remembered_events(instance, asset, shards)
    causes = {}
    moved = []
    for shard in shards:
        state, event = status.get(shard), known.get(shard)
        if state is not None and state != AssetPartitionStatus.MATERIALIZED:
            causes[shard] = RUNNING if state == AssetPartitionStatus.IN_PROGRESS else FAILED
        elif event is None:
            causes[shard] = NEVER
        elif event.code_version != code_version:
            causes[shard] = "code or model changed"
        elif event.state != digest(contents.state(reads, shard), contents.state([asset], shard)):
            moved.append(shard)
    contents.load([*reads, asset], moved)
    return causes | _changes(contents, asset, moved, known, reads)


def _changes(
    contents: Contents, asset: str, shards: Sequence[str], known: Mapping[str, LastEvent], reads: Sequence[str]
) -> dict[str, str]:
    """Of shards with other files than the event names: those with other rows."""
    causes = {}
    for shard in shards:
        if known[shard].inputs != contents.inputs(reads, shard):
            causes[shard] = "inputs changed"
        elif known[shard].content != contents.content(asset, shard):
            causes[shard] = "the table no longer holds what was materialized"
    return causes
