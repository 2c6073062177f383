"""What runs will cost, from what earlier ones cost."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmfs.features.history
from mmfs.features.device_name import device_name, planned_device
from mmfs.features.feature import Feature
from mmfs.features.history import break_even_epochs, fitted, forecast, rates_on, weighted_median
from mmfs.features.read_back import read_back_s
from mmfs.features.runner import run_feature
from mmfs.store import Store
from mmfs.store.costs import Cost, costs, processor_name
from mmfs.store.standing import ShardStatus
from tests.features.chain import First, put_frames
from tests.features.tiny import SHARD, add_frames


def shard(rows: int, *, fresh: int = 0) -> ShardStatus:
    return ShardStatus("t", "0", rows + fresh, fresh, 0, rows, 0, 0, {"new": rows})


def cost(rows: int, wall_s: float, **more: object) -> Cost:
    return Cost(rows=rows, wall_s=wall_s, **{"device": "here", **more})  # type: ignore[arg-type]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.features.history).failed == 0


@given(
    st.lists(st.integers(1, 5000), min_size=2, max_size=12),
    st.floats(0, 5),
    st.floats(1e-4, 2),
)
def test_costs_on_a_line_are_foretold_exactly(rows: list[int], shard_s: float, row_s: float) -> None:
    rates = fitted([cost(n, shard_s + n * row_s) for n in rows])
    for n in rows if max(rows) >= 1.5 * min(rows) else rows[:0]:
        assert rates.shard_s + n * rates.row_s == pytest.approx(shard_s + n * row_s, rel=1e-6)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0.01, 100)), min_size=1, max_size=20))
def test_no_part_of_a_fit_is_negative_and_it_lies_between_the_slowest_and_the_quickest(
    found: list[tuple[int, float]],
) -> None:
    rates = fitted([cost(rows, wall_s) for rows, wall_s in found])
    assert rates.shard_s >= 0
    assert 0 <= rates.row_s <= max(wall_s / rows for rows, wall_s in found) * (1 + 1e-9)


def test_a_run_that_computed_little_counts_little() -> None:
    slow_few = [cost(2, 20.0)] * 3
    rates = fitted([cost(1000, 10.0), cost(1100, 11.0), *slow_few])
    assert rates.row_s == pytest.approx(0.01, rel=0.25)


def test_one_slow_run_of_many_spoils_nothing() -> None:
    rates = fitted([*[cost(100, 1.0)] * 6, cost(100, 60.0)])
    assert (rates.shard_s, rates.row_s) == (0.0, 0.01)


def test_the_model_is_loaded_once_and_a_shard_without_work_costs_nothing() -> None:
    known = [cost(100, 2.0, load_s=8.0), cost(100, 2.0, load_s=0.001), cost(100, 2.0)]
    found = forecast(known, [shard(50), shard(0, fresh=70), shard(150)], "here")
    assert found is not None
    assert found.wall_s == pytest.approx(8.0 + 200 * 0.02, rel=0.01)
    nothing = forecast(known, [shard(0, fresh=70)], "here")
    assert nothing is not None
    assert (nothing.wall_s, nothing.bytes_written) == (0.0, 0)


def test_what_is_no_stage_comes_once_or_with_every_shard_and_not_with_rows() -> None:
    first = cost(100, 1.5 + 2.0, load_s=4.0, read_s=0.2, device_s=1.7, write_s=0.1)
    others = [cost(rows, 0.25 + rows * 0.02, device_s=rows * 0.02) for rows in (100, 50, 200)]
    alone, together = fitted([first]), fitted([first, *others])
    assert (alone.load_s, alone.shard_s, alone.row_s) == pytest.approx((5.5, 0.0, 0.02))
    assert (together.load_s, together.shard_s, together.row_s) == pytest.approx((5.25, 0.25, 0.02))


def test_stages_that_overlap_take_no_longer_than_their_run() -> None:
    rates = fitted([cost(100, 2.0, read_s=1.9, device_s=1.9)])
    assert (rates.load_s, rates.shard_s, rates.row_s) == (0.0, 0.0, 0.02)


def test_packs_grow_by_new_rows_and_the_table_file_is_written_whole() -> None:
    known = [cost(10, 1.0, pack_bytes=1000, table_bytes_per_row=7.0, device_s=0.5)]
    found = forecast(known, [shard(20, fresh=80)], "here")
    assert found is not None
    assert found.bytes_written == 20 * 100 + 100 * 7
    assert found.device_s == pytest.approx(1.0)


def test_costs_of_the_device_at_hand_come_first_and_others_are_said_to_be_others() -> None:
    known = [cost(1000, 1.0, device="fast"), cost(10, 1.0, device="here"), cost(10, 5.0, device="slow")]
    here, elsewhere = forecast(known, [shard(10)], "here"), forecast(known, [shard(10)], "unknown")
    assert here is not None
    assert elsewhere is not None
    assert (here.rates.device, here.is_this_device, here.wall_s) == ("here", True, pytest.approx(1.0, rel=0.05))
    assert (elsewhere.rates.device, elsewhere.is_this_device) == ("fast", False)
    assert rates_on([], "here") is None
    assert forecast([], [shard(10)], "here") is None


@given(st.floats(1e-4, 1), st.floats(0, 1.5), st.floats(1e-5, 2))
def test_keeping_values_pays_from_the_break_even_on_and_not_before(row_s: float, share: float, read_s: float) -> None:
    rates = fitted([cost(100, 100 * row_s, read_s=30 * row_s * share, device_s=70 * row_s * share)])
    epochs = break_even_epochs(rates, read_s)
    live_s = min(rates.row_s, rates.row_read_s + rates.row_device_s)
    if math.isinf(epochs):
        assert live_s <= read_s
        return
    slack = 1e-9 * (rates.row_s + epochs * live_s)
    assert rates.row_s + epochs * read_s < epochs * live_s + slack
    assert epochs == 1 or rates.row_s + (epochs - 1) * read_s >= (epochs - 1) * live_s - slack


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0.1, 5)), min_size=1))
def test_half_of_the_weight_lies_on_either_side_of_a_weighted_median(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    middle = weighted_median(values, weights)
    assert weights[values < middle].sum() <= weights.sum() / 2 + 1e-9
    assert weights[values > middle].sum() <= weights.sum() / 2 + 1e-9


def test_a_run_records_what_it_cost(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(40)])
    report = run_feature(store, First(), SHARD, device="cpu")
    (found,) = costs(store, "firsts")
    assert (found.rows, found.batch_size, found.pack_bytes) == (40, 16, 0)
    assert found.device == processor_name() == device_name("cpu") == planned_device("cpu")
    assert 0 < found.wall_s <= report.seconds - report.load_s
    assert found.load_s == pytest.approx(report.load_s, abs=1e-5)
    assert found.device_s == pytest.approx(report.device_s, abs=1e-5)
    assert found.table_bytes_per_row == pytest.approx(report.bytes_written / 40)
    assert found.libraries["numpy"] == np.__version__


def test_a_run_that_computed_nothing_leaves_the_cost_of_the_one_before(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(12)])
    run_feature(store, First(), SHARD)
    (before,) = costs(store, "firsts")
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    report = run_feature(store, First(), SHARD)
    assert (report.changed, report.computed) == (True, 0)
    (after,) = costs(store, "firsts")
    assert (after.rows, after.wall_s, after.libraries) == (12, before.wall_s, before.libraries)


def test_reading_back_is_measured_on_values_that_are_there(store: Store, depth: Feature) -> None:
    assert read_back_s(store, "depth_maps") is None
    add_frames(store, list(range(6)))
    run_feature(store, depth, SHARD)
    put_frames(store, [(n, 0, "f1") for n in range(6)], "000002")
    run_feature(store, First(), "000002")
    blobs_s, numbers_s = read_back_s(store, "depth_maps"), read_back_s(store, "firsts")
    assert blobs_s is not None
    assert numbers_s is not None
    assert numbers_s > 0
    assert 0 < blobs_s < 1


@pytest.fixture
def depth(store: Store) -> Feature:
    from mmfs.features.depth import DepthMaps

    return DepthMaps(store.settings.depth)
