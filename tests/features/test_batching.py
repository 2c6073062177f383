"""Batches by shape: nothing lost, and the same batches whether or not the first ones were computed before."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmfs.features.batching import RowBatch, ShapeBuckets, cut, join, row_shapes, stack


def _row(position: int, width: int) -> RowBatch:
    return RowBatch([position], {"x": torch.full((1, width), position), "name": [str(position)]})


def _batches(positions: list[int], widths: list[int], size: int, at_once: int = 1) -> list[list[int]]:
    """Positions of the batches that come out of rows, ``at_once`` neighbours of one width together."""
    buckets, found = ShapeBuckets(size), []
    start = 0
    while start < len(positions):
        end = start + 1
        while end < min(len(positions), start + at_once) and widths[positions[end]] == widths[positions[start]]:
            end += 1
        rows = [_row(position, widths[position]) for position in positions[start:end]]
        joined = RowBatch([row.positions[0] for row in rows], join([row.values for row in rows]))
        found += list(buckets.add(joined))
        start = end
    found += list(buckets.rest())
    for batch in found:
        assert {widths[position] for position in batch.positions} == {batch.values["x"].shape[1]}
        assert batch.values["x"][:, 0].tolist() == batch.positions
        assert batch.values["name"] == [str(position) for position in batch.positions]
    return [batch.positions for batch in found]


shapes = st.lists(st.integers(1, 6), max_size=80)


@given(shapes, st.integers(1, 7), st.integers(1, 9))
def test_every_row_comes_out_once_in_batches_of_one_shape_whatever_came_together(
    widths: list[int], size: int, at_once: int
) -> None:
    positions = list(range(len(widths)))
    one_by_one = _batches(positions, widths, size)
    assert sorted(position for batch in one_by_one for position in batch) == positions
    assert all(len(batch) <= size for batch in one_by_one)
    assert _batches(positions, widths, size, at_once) == one_by_one


@given(shapes, st.integers(1, 7), st.data())
def test_after_some_batches_were_done_the_others_come_out_as_they_would_have(
    widths: list[int], size: int, data: st.DataObject
) -> None:
    whole = _batches(list(range(len(widths))), widths, size)
    done = data.draw(st.integers(0, len(whole)))
    left = sorted(position for batch in whole[done:] for position in batch)
    assert _batches(left, widths, size) == whole[done:]


def test_a_bucket_with_enough_rows_is_full_at_once_and_many_shapes_do_not_pile_up() -> None:
    assert _batches([0, 1, 2, 3, 4], [1, 1, 1, 1, 1], 2) == [[0, 1], [2, 3], [4]]
    widths = [1 + position % 9 for position in range(60)]
    batches = _batches(list(range(60)), widths, 3)
    held = 0
    for number, batch in enumerate(batches):
        held = max(held, max(batch) - sum(map(len, batches[:number])))
    assert held <= 8 * 3


def test_smaller_batches_come_out_after_shrinking() -> None:
    buckets = ShapeBuckets(8)
    assert list(buckets.add(RowBatch(list(range(6)), {"x": torch.zeros(6, 2)}))) == []
    buckets.shrink(2)
    found = list(buckets.add(RowBatch([6], {"x": torch.zeros(1, 2)})))
    assert [len(batch) for batch in found] == [2, 2, 2, 1]


def test_cutting_and_joining_keep_tensors_and_lists_aligned() -> None:
    batch = stack([{"x": torch.tensor([float(n)]), "y": f"row {n}"} for n in range(5)])
    again = join([cut(batch, 0, 2), cut(batch, 2, 5)])
    assert again["x"].tolist() == batch["x"].tolist()
    assert again["y"] == batch["y"] == [f"row {n}" for n in range(5)]


@pytest.mark.parametrize("other", [torch.zeros(2, 3), torch.zeros(3, 2, dtype=torch.uint8)])
def test_rows_of_other_shape_or_dtype_are_not_stacked(other: torch.Tensor) -> None:
    assert row_shapes({"x": torch.zeros(3, 2)}) != row_shapes({"x": other})
    assert row_shapes({"x": torch.zeros(3, 2)}) == row_shapes({"x": torch.ones(3, 2)})
