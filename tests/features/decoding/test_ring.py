"""Shared memory without a name."""

from __future__ import annotations

import os

import numpy as np

from mmfs.features.decoding.ring import NO_CLAIM, Ring, claim_of, task_and_blob


def test_what_one_side_writes_the_other_reads_without_a_copy() -> None:
    ring = Ring(3, 1 << 16)
    other = Ring(3, 1 << 16, descriptor=os.dup(ring.descriptor))
    other.region(2)[64:76] = np.arange(12, dtype=np.uint8)
    array = ring.array(2, 64, "|u1", (3, 4))
    assert array.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    other.region(2)[64] = 9
    assert array[0, 0] == 9
    other.claims[5] = claim_of(40, 7)
    assert task_and_blob(int(ring.claims[5])) == (40, 7)
    assert NO_CLAIM not in (claim_of(0, 0), claim_of(1 << 30, 0xFFFF))


def test_regions_are_held_and_given_back() -> None:
    ring = Ring(2, 64)
    held = {ring.take(), ring.take()}
    assert held == {0, 1}
    assert ring.free == 0
    ring.give_back(1)
    assert ring.take() == 1


def test_the_memory_has_no_name_and_arrays_outlive_the_descriptor() -> None:
    ring = Ring(1, 64)
    array = ring.array(0, 0, "<f4", (2,))
    ring.close()
    array[:] = 1.5
    assert array.tolist() == [1.5, 1.5]
    assert not [name for name in os.listdir("/dev/shm") if "mmfs" in name]
