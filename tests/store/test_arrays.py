"""Conversions by buffers agree with Arrow's own, in any slice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.store.arrays import as_arrow, as_bools, as_numpy, empty_table, repeated_text

slices = st.tuples(st.integers(0, 20), st.integers(0, 20))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64"])
def test_numbers_go_both_ways_without_change(dtype: str) -> None:
    values = np.arange(10).astype(dtype)
    assert as_arrow(values).equals(pa.array(values))
    found = as_numpy(pa.array(values).slice(3, 4))
    assert found.dtype == values.dtype
    assert found.tolist() == values[3:7].tolist()


@given(values=st.lists(st.integers(-(2**40), 2**40), max_size=20), cut=slices)
def test_numbers_of_any_slice_and_chunking(values: list[int], cut: tuple[int, int]) -> None:
    array = pa.array(values, pa.int64()).slice(*cut)
    assert as_numpy(array).tolist() == array.to_pylist()
    chunked = pa.chunked_array([array.slice(0, 3), array.slice(3)], pa.int64())
    assert as_numpy(chunked).tolist() == array.to_pylist()


@given(values=st.lists(st.booleans(), max_size=20), cut=slices)
def test_truth_values_of_any_slice(values: list[bool], cut: tuple[int, int]) -> None:
    array = pa.array(values, pa.bool_()).slice(*cut)
    assert as_bools(array).tolist() == array.to_pylist()


@given(text=st.text(max_size=10), rows=st.integers(0, 10))
def test_a_text_is_repeated(text: str, rows: int) -> None:
    found = repeated_text(text, rows)
    found.validate(full=True)
    assert found.to_pylist() == [text] * rows


def test_no_rows_of_any_schema() -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.list_(pa.float16(), 4))])
    assert empty_table(schema).equals(schema.empty_table())
