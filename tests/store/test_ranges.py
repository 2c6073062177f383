from __future__ import annotations

import doctest
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

import mmfs.store.ranges
from mmfs.store.ranges import merge_ranges, take_ranges

DATA = bytes(range(256)) * 2


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=20),
    st.integers(0, 50),
    st.integers(1, 300),
)
def test_any_ranges_are_found_in_few_bounded_spans_that_do_not_overlap(
    ranges: list[tuple[int, int]], gap_bytes: int, most_bytes: int
) -> None:
    spans = merge_ranges(ranges, gap_bytes=gap_bytes, most_bytes=most_bytes)
    parts = [DATA[offset : offset + length] for offset, length in spans]
    assert take_ranges(spans, parts, ranges) == [DATA[offset : offset + length] for offset, length in ranges]
    assert all(0 < length <= most_bytes for _, length in spans)
    assert all(here[0] + here[1] <= after[0] for here, after in pairwise(spans))
    wanted = {byte for offset, length in ranges for byte in range(offset, offset + length)}
    read = {byte for offset, length in spans for byte in range(offset, offset + length)}
    assert len(read - wanted) <= gap_bytes * max(0, len(ranges) - 1)


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.store.ranges).failed == 0
