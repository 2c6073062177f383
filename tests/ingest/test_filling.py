"""How shards fill, and how many a year makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.ingest.assign import MAX_SHARDS
from mmfs.ingest.filling import Filled, Limits, fill, room
from mmfs.settings import Settings
from tests.ingest.years import MB, are_of_intended_size, year_of

DEFAULTS = Limits(Settings().shard_target_mb << 20, Settings().shard_max_files)
#: For media of some MB in tens of thousands a day.
LARGE = Limits(4096 << 20, 4096)


@given(
    st.lists(st.integers(0, 300), max_size=40),
    st.builds(Filled, st.integers(0, 9), st.integers(0, 300)),
    st.builds(Limits, st.integers(1, 250), st.integers(1, 12)),
)
@settings(max_examples=60, deadline=None)
def test_files_go_into_the_open_shard_until_it_is_sealed(sizes: list[int], held: Filled, limits: Limits) -> None:
    expected = [held]
    for size in sizes:
        if limits.is_sealed(expected[-1]):
            expected.append(Filled())
        expected[-1] = Filled(expected[-1].files + 1, expected[-1].size_bytes + size)
    assert fill(limits, held, np.array(sizes, np.int64)) == expected
    count = room(limits, held, np.array(sizes, np.int64))
    assert count == expected[0].files - held.files


@pytest.mark.parametrize(
    ("kind", "files_a_day", "limits", "fewest", "most"),
    [
        ("clips", 1, DEFAULTS, 7, 12),
        ("clips", 10, DEFAULTS, 70, 110),
        ("photos", 10_000, LARGE, 2_000, 4_000),
        ("clips", 10_000, LARGE, 9_000, 13_000),
    ],
)
def test_a_year_makes_shards_of_the_intended_size_and_not_too_many(
    kind: str, files_a_day: int, limits: Limits, fewest: int, most: int
) -> None:
    shards, largest = year_of(kind, files_a_day, limits)
    assert fewest <= len(shards) <= most < MAX_SHARDS
    assert sum(shard.files for shard in shards) == 365 * files_a_day
    assert are_of_intended_size(shards, largest, limits)


def test_long_videos_among_photos_leave_no_swarm_of_small_shards() -> None:
    sizes = np.tile(np.array([3 * MB] * 9 + [2000 * MB], np.int64), 365)
    shards = fill(DEFAULTS, Filled(), sizes)
    assert len(shards) <= 366
    assert all(shard.size_bytes >= DEFAULTS.target_bytes for shard in shards[:-1])
