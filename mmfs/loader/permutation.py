"""Permutations of [0, n) that are computed, not stored: any element costs the same, and no array of n exists.

A balanced Feistel network over the smallest power of two that holds n, walked along its cycles until it falls
inside [0, n) again. Every argument may be an array, so one call permutes by many keys and lengths at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

_ROUNDS = 8
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_29, _32 = np.uint64(29), np.uint64(32)


def key_of(*parts: int) -> int:
    """One 64-bit key from several integers; other integers, or another order of them, give another key.

    >>> key_of(0, 1) != key_of(1, 0)
    True
    """
    state = 0
    for part in parts:
        state = _finish((state * 3 + (part & _MASK) + _GOLDEN) & _MASK)
    return state


def keys_of(base: int, numbers: Int64s) -> UInt64s:
    """A key for each number, derived from one base key."""
    return _mix(numbers.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(base))


def permute(places: Int64s, length: Int64s | int, key: UInt64s | int) -> Int64s:
    """What stands at each place of the permutation of [0, length) that ``key`` names.

    Args:
        places: int64, each in [0, length).
        length: One for all, or one each; at least 1.
        key: One for all, or one each.

    >>> permute(np.arange(5), 5, 1).tolist()
    [3, 2, 1, 0, 4]
    """
    return _walk(places, length, key, range(_ROUNDS))


def unpermute(values: Int64s, length: Int64s | int, key: UInt64s | int) -> Int64s:
    """The place at which each value stands: the inverse of `permute`.

    >>> unpermute(permute(np.arange(5), 5, 1), 5, 1).tolist()
    [0, 1, 2, 3, 4]
    """
    return _walk(values, length, key, range(_ROUNDS - 1, -1, -1))


def _walk(start: Int64s, length: Int64s | int, key: UInt64s | int, rounds: range) -> Int64s:
    lengths = np.broadcast_to(np.asarray(length, np.uint64), start.shape).reshape(-1)
    keys = np.broadcast_to(np.asarray(key, np.uint64), start.shape).reshape(-1)
    # frexp gives the bit length of length - 1 exactly, for every length below 2**53.
    bits = np.frexp((lengths - np.uint64(1)).astype(np.float64))[1].astype(np.uint64)
    values = _feistel(start.astype(np.uint64).reshape(-1), bits, keys, rounds)
    outside = np.flatnonzero(values >= lengths)
    while outside.size:
        values[outside] = _feistel(values[outside], bits[outside], keys[outside], rounds)
        outside = outside[values[outside] >= lengths[outside]]
    return values.astype(np.int64).reshape(start.shape)


def _feistel(values: UInt64s, bits: UInt64s, keys: UInt64s, rounds: range) -> UInt64s:
    """One pass over [0, 2**bits): the high part is stirred by the low one, then the other way round."""
    one = np.uint64(1)
    low_bits = bits >> one
    low_mask = (one << low_bits) - one
    high_mask = (one << (bits - low_bits)) - one
    low, high = values & low_mask, values >> low_bits
    for number in rounds:
        round_keys = keys + np.uint64((number + 1) * _GOLDEN & _MASK)
        if number % 2:
            low = low ^ (_mix(high + round_keys) & low_mask)
        else:
            high = high ^ (_mix(low + round_keys) & high_mask)
    stirred: UInt64s = (high << low_bits) | low
    return stirred


def _mix(values: UInt64s) -> UInt64s:
    """Spread every input bit over the low output bits (the finaliser of splitmix64, one step shorter)."""
    mixed = (values ^ (values >> _29)) * _M1
    mixed = (mixed ^ (mixed >> _32)) * _M2
    return mixed >> _32


def _finish(state: int) -> int:
    state = ((state ^ (state >> 30)) * int(_M1)) & _MASK
    state = ((state ^ (state >> 27)) * int(_M2)) & _MASK
    return state ^ (state >> 31)
