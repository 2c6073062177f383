"""Data versions change with the content of their own shard, and only then."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

import mmfs_assets.steps.data_versions
from mmfs_assets.planning.last_events import LastEvent
from mmfs_assets.steps.data_versions import DataVersions

#: By shard: content and version of its last event, if there is one, and its content now.
shards = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.none() | st.tuples(st.sampled_from("xyz"), st.sampled_from("123")), st.sampled_from("xyz")),
    min_size=1,
)


@given(shards)
def test_a_version_stays_exactly_where_the_content_does(
    runs: dict[str, tuple[tuple[str, str] | None, str]],
) -> None:
    last = {
        shard: LastEvent(1, "code", before[1], "inputs", before[0], "state")
        for shard, (before, _) in runs.items()
        if before
    }
    found = {shard: (f"digest of {content}", content) for shard, (_, content) in runs.items()}
    versions = DataVersions.of(found, last)
    for shard, (before, content) in runs.items():
        shown = versions.kept.get(shard, versions.common)
        unchanged = before is not None and before[0] == content
        if unchanged:
            assert shown == versions.each[shard] == before[1]  # type: ignore[index]
        else:
            assert before is None or shown != before[1]
            assert versions.each[shard] == f"digest of {content}"
    assert len(runs) > 1 or not versions.kept


def test_examples_hold() -> None:
    assert doctest.testmod(mmfs_assets.steps.data_versions).failed == 0
