"""What is wrong with a feature's rows is said in words, with the first key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from mmfs.features.checks import odd_numbers, odd_vectors, unmatched_keys
from mmfs.features.feature import Feature, Scalar, Vector, feature
from mmfs.features.tablespec import table_of
from mmfs.store import Store
from mmfs.store.problem import Problem
from tests.features.tiny import SHARD, media_id


@feature(table="checked", grain="frame", inputs=["frames.image"], space=True)
class Checked(Feature):
    """Rows to spoil."""

    outputs = {"vector": Vector(4), "size": Scalar("float32")}


def _fill(store: Store, vectors: list[list[float]], sizes: list[float]) -> None:
    store.tables.ensure(table_of(Checked()))
    rows = pa.table(
        {
            "media_id": [media_id(number) for number in range(len(vectors))],
            "frame_index": [0] * len(vectors),
            "vector": pa.array([np.array(v, np.float16) for v in vectors], pa.list_(pa.float16(), 4)),
            "size": pa.array(sizes, pa.float32()),
            "fingerprint": ["f"] * len(vectors),
        }
    )
    store.tables.update("checked", SHARD, lambda _: rows)


def _said(problems: list[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def test_sound_rows_have_no_problems(store: Store) -> None:
    _fill(store, [[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]], [1.0, 2.0])
    assert odd_vectors(store, "checked", SHARD, unit=True) == []
    assert odd_numbers(store, "checked", SHARD) == []


def test_vectors_that_are_not_finite_or_not_of_unit_length_are_told_apart(store: Store) -> None:
    _fill(store, [[1, 0, 0, 0], [float("nan"), 0, 0, 0], [2, 0, 0, 0]], [1.0, 2.0, 3.0])
    assert _said(odd_vectors(store, "checked", SHARD, unit=True)) == [
        f"1 of 3 rows of column vector are not finite, first {media_id(1)}:0",
        f"1 of 3 rows of column vector are not of unit length, first {media_id(2)}:0",
    ]
    assert len(odd_vectors(store, "checked", SHARD, unit=False)) == 1


def test_numbers_that_are_not_finite_are_counted_by_column(store: Store) -> None:
    _fill(store, [[1, 0, 0, 0]] * 2, [1.0, float("inf")])
    assert _said(odd_numbers(store, "checked", SHARD)) == [
        f"1 of 2 rows of column size are not finite, first {media_id(1)}:0"
    ]


def test_inputs_without_rows_and_rows_without_inputs_are_counted(store: Store, frames: Callable[..., None]) -> None:
    frames(range(1, 5))
    _fill(store, [[1, 0, 0, 0]] * 2, [1.0, 1.0])
    missing, gone = unmatched_keys(store, Checked(), SHARD)
    assert str(missing) == f"3 input rows have no row here and none in quarantine, first {media_id(2)}:0"
    assert (missing.count, missing.examples) == (3, tuple(f"{media_id(number)}:0" for number in (2, 3, 4)))
    assert str(gone) == f"1 rows have no input row, first {media_id(0)}:0"
