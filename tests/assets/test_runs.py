"""Runs cover what is needed, in ranges, and nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmfs_assets.runs import PlannedRun, plan_runs

ASSETS = ["a", "b", "c"]
NEEDS = st.dictionaries(st.integers(0, 30).map(lambda n: f"{n:06d}"), st.sets(st.sampled_from(ASSETS)), max_size=31)


@given(NEEDS, st.integers(1, 8))
def test_runs_cover_every_need_once_in_unbroken_ranges(needs: dict[str, set[str]], size: int) -> None:
    partitions = [f"{n:06d}" for n in range(31)]
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
