"""Cut what is needed into runs: neighbouring shards together, with the assets that any of them needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PlannedRun:
    """One run over a range of shards.

    Attributes:
        shards: Shards, neighbours in the order of the partitions; none for assets that have no partitions.
        assets: Assets that at least one of the shards needs, upstream first.
    """

    shards: tuple[str, ...]
    assets: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        """Run tags that say the partitions."""
        if not self.shards:
            return {}
        if len(self.shards) == 1:
            return {"dagster/partition": self.shards[0]}
        return {
            "dagster/asset_partition_range_start": self.shards[0],
            "dagster/asset_partition_range_end": self.shards[-1],
        }


def plan_runs(
    needs: Mapping[str, Mapping[str, object]], *, partitions: Sequence[str], assets: Sequence[str], shards_per_run: int
) -> list[PlannedRun]:
    """Runs that cover what is needed.

    Args:
        needs: By shard: the assets that have to run.
        partitions: All partitions in their order; a range of partitions is a stretch of it.
        assets: All assets, upstream first.
        shards_per_run: Most shards in a run.

    >>> needs = {"0": {"a": 1}, "1": {"b": 1}, "3": {"a": 1}}
    >>> [run.shards for run in plan_runs(needs, partitions="0123", assets="ab", shards_per_run=8)]
    [('0', '1'), ('3',)]
    """
    runs: list[PlannedRun] = []
    stretch: list[str] = []

    def close() -> None:
        if stretch:
            wanted = {asset for shard in stretch for asset in needs[shard]}
            runs.append(PlannedRun(tuple(stretch), tuple(asset for asset in assets if asset in wanted)))
            stretch.clear()

    for shard in partitions:
        if not needs.get(shard):
            close()
            continue
        stretch.append(shard)
        if len(stretch) == shards_per_run:
            close()
    close()
    return runs
