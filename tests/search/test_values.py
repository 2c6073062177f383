"""Values are short, whatever a table holds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.search.values import LONGEST_TEXT, facts, value_text

VALUES = st.one_of(
    st.text(max_size=1000), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.binary(max_size=1000)
)


@pytest.mark.parametrize(
    ("value", "kind", "name", "text"),
    [
        ([0.0] * 512, pa.list_(pa.float16(), 512), "vector", "float16 [512]"),
        ([0.0, 1.0], pa.list_(pa.float32()), "rgb", "float32 [2]"),
        (["a"], pa.list_(pa.string()), "words", "string [1]"),
        (b"\x00" * 1500, pa.binary(), "blob", "1,500 bytes"),
        (1 / 3, pa.float64(), "score", "0.33333"),
        (False, pa.bool_(), "is_kept", "no"),
        (1_700_000_000_000_000, pa.int64(), "pts_us", "1700000000000000"),
        (1_700_000_000_000_000, pa.int64(), "listed_at_us", "2023-11-14 22:13:20"),
        (2**63 - 1, pa.int64(), "listed_at_us", "9223372036854775807"),
        ("x" * 1000, pa.string(), "text", "x" * LONGEST_TEXT + " ..."),
    ],
)
def test_each_kind_of_value_is_told_in_its_own_way(value: Any, kind: pa.DataType, name: str, text: str) -> None:
    assert value_text(value, kind, name) == text


@given(VALUES, st.sampled_from(["text", "at_us", "listed_at_us"]))
def test_no_value_is_long_or_fails(value: Any, name: str) -> None:
    assert len(value_text(value, pa.scalar(value).type, name)) <= LONGEST_TEXT + len(" ...")


def test_facts_leave_out_what_has_no_value() -> None:
    rows = pa.table({"a": [1, None], "b": [None, "x"], "c": [1, 2]})
    assert facts(rows, ["b", "a"]) == [[("a", "1")], [("b", "x")]]
    assert facts(rows, []) == [[], []]
