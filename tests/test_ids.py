from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmfs.ids
from mmfs.errors import StoreError
from mmfs.ids import parse_key, sample_key


@given(st.binary(min_size=16, max_size=16), st.none() | st.integers(min_value=0, max_value=2**40))
def test_keys_survive_the_round_trip(raw: bytes, index: int | None) -> None:
    assert parse_key(sample_key(raw.hex(), index)) == (raw.hex(), index)


@pytest.mark.parametrize("text", ["", "cat.jpg", "ab:1", "zz" * 16, f"{'ab' * 16}:x", f"{'ab' * 16}'; DROP"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="not a sample key"):
        parse_key(text)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.ids).failed == 0
