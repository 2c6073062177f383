"""Whose turn it is: the arithmetic agrees with taking one batch after the other."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.loader.bucket_turns import Turns

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=9).filter(any)
WIDTHS = st.integers(1, 80)


def one_by_one(turns: Turns, batches: int) -> list[int]:
    """The bucket of each batch by the rule: the least (position + width / 2) / size, of equal ones the first."""
    positions, given_by, found = list(turns.positions), [0] * len(turns.sizes), []
    for _ in range(batches):
        times = [
            (Fraction(2 * positions[bucket] + turns.width, 2 * size), bucket)
            for bucket, size in enumerate(turns.sizes)
            if size and (turns.owed is None or given_by[bucket] < turns.owed[bucket])
        ]
        if not times:
            break
        bucket = min(times)[1]
        found.append(bucket)
        positions[bucket] += turns.width
        given_by[bucket] += 1
    return found


def turns_of(sizes: list[int], behind: list[int], width: int, *, is_endless: bool) -> Turns:
    positions = [min(place, 3 * size) for place, size in zip(behind, sizes, strict=False)]
    positions += [0] * (len(sizes) - len(positions))
    owed = None if is_endless else tuple(-(-max(0, n - at) // width) for n, at in zip(sizes, positions, strict=True))
    return Turns(tuple(sizes), tuple(positions), width, owed)


@settings(max_examples=50)
@given(SIZES, st.lists(st.integers(0, 150), max_size=9), WIDTHS, st.booleans())
def test_the_order_of_batches_can_be_computed_from_both_ends(
    sizes: list[int], behind: list[int], width: int, is_endless: bool
) -> None:
    turns = turns_of(sizes, behind, width, is_endless=is_endless)
    expected = one_by_one(turns, 70)
    assert list(islice(turns, 70)) == expected
    counts = [0] * len(sizes)
    for number, bucket in enumerate(expected):
        assert turns.before(bucket, counts[bucket]) == number
        assert turns.given(number) == counts
        counts[bucket] += 1
    assert turns.given(len(expected)) == counts


@settings(max_examples=40)
@given(SIZES, WIDTHS)
def test_buckets_are_passed_evenly(sizes: list[int], width: int) -> None:
    turns = Turns(tuple(sizes), (0,) * len(sizes), width)
    shares = {bucket: Fraction(0) for bucket, size in enumerate(sizes) if size}
    for bucket in islice(turns, 100):
        shares[bucket] += Fraction(width, sizes[bucket])
        for one, share in shares.items():
            assert share - shares[bucket] <= Fraction(width, 2 * sizes[one]) + Fraction(width, 2 * sizes[bucket])


def test_steps_of_a_thousand_million_samples_are_found_at_once() -> None:
    sizes = (10**9, 3 * 10**8 + 1, 7)
    turns = Turns(sizes, (0, 0, 0), 2048)
    counts = turns.given(10**6)
    assert sum(counts) == 10**6
    for bucket, count in enumerate(counts):
        assert turns.before(bucket, count) >= 10**6
        assert count == 0 or turns.before(bucket, count - 1) < 10**6
