"""Hand over exact shards of assets to Dagster's daemon, as a backfill.

The daemon cuts it into runs of ``MMFS_SHARDS_PER_RUN`` shards. Where assets need the same shards, a run takes the whole
chain through them; where they do not, downstream waits for upstream. If a shard fails, what is downstream of its run is
left to the next launch, which finds the finished shards fresh.
"""

import uuid
from collections.abc import Collection, Mapping

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import PartitionBackfill
from dagster._daemon.controller import get_daemon_statuses
from dagster._time import get_current_timestamp

from mmfs.errors import SettingsError
from mmfs_assets.partitions import SHARDS

#: Tag of backfills that are launched here.
LAUNCHED = {"mmfs/launched": "what is missing or stale"}
#: On top of the half minute between heartbeats. A large backfill may keep one part of a daemon silent for longer, so
#: that one part heard of is enough.
_SILENT_S = 90.0


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
