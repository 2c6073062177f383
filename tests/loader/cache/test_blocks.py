from __future__ import annotations

import doctest

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import mmfs.loader.cache.blocks
from mmfs.loader.cache.blocks import Blocks


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 17))
def test_every_sample_is_in_one_block_and_no_block_leaves_its_shard(shard_rows: list[int], block: int) -> None:
    blocks = Blocks(shard_rows, block)
    samples = np.arange(sum(shard_rows))
    found = [blocks.samples(number) for number in blocks.all]
    assert np.array_equal(np.concatenate([samples[:0], *found]), samples)
    assert all(1 <= len(some) <= block for some in found)
    shard = np.repeat(np.arange(len(shard_rows)), shard_rows)
    assert all(len(set(shard[some].tolist())) == 1 for some in found)
    assert all((blocks.of(some) == number).all() for number, some in zip(blocks.all, found, strict=True))


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.loader.cache.blocks).failed == 0
