"""Pairs of 64-bit hashes that differ in few bits, none of them missed, without comparing all with all.

The bits are cut into ``distance + t`` bands. Two hashes that differ in at most ``distance`` bits differ in at most so
many bands, so that at least ``t`` bands are equal: it is enough to look among hashes that agree in some t bands, for
every choice of t. (With t = 1 this is the pigeonhole principle; more bands must agree where there are more hashes.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb

import numpy as np
import numpy.typing as npt

from mmfs.store.keys import Int64s

Hashes = npt.NDArray[np.uint64]

BITS = 64
#: Beyond this, pictures that have nothing in common meet by chance.
MOST_BITS = 16
_MOST_AGREEING = 6


def near_pairs(hashes: Hashes, distance: int) -> Iterator[tuple[Int64s, Int64s]]:
    """Pairs of positions whose hashes differ in at most ``distance`` bits, in pieces; a pair may come more than once.

    Args:
        hashes: Distinct hashes, uint64 [n].
        distance: Bits, 0 to `MOST_BITS`.
    """
    agreeing = _agreeing(len(hashes), distance)
    for mask in _masks(distance + agreeing, agreeing):
        keys = hashes & mask
        order = np.argsort(keys, kind="stable")
        keys, ordered = keys[order], hashes[order]
        places = np.arange(len(keys) - 1)
        for step in range(1, len(keys)):
            places = places[: np.searchsorted(places, len(keys) - step)]
            places = places[keys[places] == keys[places + step]]
            if not len(places):
                break
            bits = np.bitwise_count(ordered[places] ^ ordered[places + step])
            near = places[bits <= distance]
            if len(near):
                yield order[near], order[near + step]


def _masks(bands: int, agreeing: int) -> Iterator[np.uint64]:
    """Masks of the bits in every choice of ``agreeing`` of the bands."""
    edges = np.linspace(0, BITS, bands + 1).astype(int)
    each = [(1 << int(end)) - (1 << int(begin)) for begin, end in pairwise(edges)]
    for chosen in combinations(each, agreeing):
        yield np.uint64(sum(chosen))


def _agreeing(rows: int, distance: int) -> int:
    """How many bands must agree: few make many candidates, many make many passes. The cheapest by estimate."""

    def cost(agreeing: int) -> float:
        bits = BITS * agreeing / (distance + agreeing)
        return comb(distance + agreeing, agreeing) * (20 + rows / 2**bits)

    return min(range(1, _MOST_AGREEING + 1), key=cost)
