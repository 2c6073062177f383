"""The one partition: shards of media that live and are computed together."""

import dagster as dg

from mmfs.settings import Settings
from mmfs.store import Store

#: Names are zero-padded (``000042``), so that they sort as they were made.
SHARDS = dg.DynamicPartitionsDefinition(name="shard")


def backfill_policy(settings: Settings) -> dg.BackfillPolicy:
    """How many shards one run works through; the same for all assets, so that a backfill fuses the chain."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.shards_in_run)


def shards_of(store: Store) -> list[str]:
    """All shards that media were given to, oldest first."""
    return sorted(store.tables.shards("listings"))


def add_missing_shards(instance: dg.DagsterInstance, shards: list[str]) -> list[str]:
    """Make partitions of those shards that are none yet, in order; the new ones."""
    known = set(instance.get_dynamic_partitions("shard"))
    new = [shard for shard in shards if shard not in known]
    if new:
        instance.add_dynamic_partitions("shard", new)
    return new


def counted(shards: int) -> str:
    """A number of shards in words."""
    return f"{shards} shard" if shards == 1 else f"{shards} shards"
