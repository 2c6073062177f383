"""Runs cover what is needed, in ranges, and nothing twice."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs_assets.planning.runs import PlannedRun, plan_runs

ASSETS = ["a", "b", "c"]
CHOICES = [set(), {"a"}, {"b"}, {"a", "b", "c"}]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(CHOICES), max_size=30), st.integers(1, 8))
def test_runs_cover_every_need_once_in_unbroken_ranges(choices: list[set[str]], size: int) -> None:
    partitions = [f"{n:06d}" for n in range(31)]
    needs = dict(zip(partitions, choices, strict=False))
    wanted = {shard: dict.fromkeys(assets) for shard, assets in needs.items()}
    runs = plan_runs(wanted, partitions=partitions, assets=ASSETS, shards_per_run=size)
    covered = [shard for run in runs for shard in run.shards]
    assert covered == [shard for shard in partitions if needs.get(shard)]
    for run in runs:
        start = partitions.index(run.shards[0])
        assert list(run.shards) == partitions[start : start + len(run.shards)]
        assert len(run.shards) <= size
        assert set(run.assets) == set().union(*(needs[shard] for shard in run.shards))
        assert list(run.assets) == sorted(run.assets)


def test_a_run_says_its_partitions_in_tags() -> None:
    assert PlannedRun(("000004",), ("a",)).tags == {"dagster/partition": "000004"}
    assert PlannedRun((), ("a",)).tags == {}
