"""Which source each position of a mixture draws from: a pure function of (weights, seed), in both directions.

A pattern as long as the sum of the weights is repeated for ever; each of its prefixes holds every source to within one
draw of its share. A rank that takes every W-th position would see few sources of it when W divides the pattern's
length, so positions are shuffled inside runs of 64: each prefix of the sequence keeps the shares to within a run.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmfs.ids import digest
from mmfs.loader.permutation import key_of, keys_of, permute, unpermute
from mmfs.store.keys import Int64s

#: Positions that are shuffled together.
RUN = 64
_MIXTURE = 4  # separates the shuffle of positions from other uses of the seed


@dataclass(frozen=True)
class MixtureOrder:
    """The sequence of draws from several sources.

    Attributes:
        weights: Draws of each source in a cycle, without a common divisor.
        seed: Of the shuffle inside runs.
        shuffle: False for the bare pattern.

    >>> order = MixtureOrder((3, 1), shuffle=False)
    >>> sources, draws = order.draws_at(np.arange(8))
    >>> sources.tolist(), draws.tolist()
    ([0, 0, 0, 1, 0, 0, 0, 1], [0, 1, 2, 0, 3, 4, 5, 1])
    """

    weights: tuple[int, ...]
    seed: int = 0
    shuffle: bool = True

    @cached_property
    def cycle(self) -> int:
        """Length of the pattern, the sum of the weights."""
        return sum(self.weights)

    @cached_property
    def id(self) -> str:
        """Hash of what turns a seed and the weights into a sequence."""
        return digest("mixture-order/1", f"{RUN}/{self.shuffle}")[:16]

    def draws_at(self, positions: Int64s) -> tuple[Int64s, Int64s]:
        """Source, and number of the draw from it (counted from 0), at positions from 0 on; int64 of the same shape."""
        cycle, place = np.divmod(self._shuffled(positions), self.cycle)
        source = self._sources[place]
        return source, cycle * self._weights[source] + self._numbers[place]

    def positions_of(self, source: int, draws: Int64s) -> Int64s:
        """Positions of draws from one source: the inverse of `draws_at`."""
        cycle, number = np.divmod(draws, self.weights[source])
        places: Int64s = cycle * self.cycle + self._places_of[source][number]
        return self._unshuffled(places)

    def draws_before(self, run: int) -> Int64s:
        """How many draws each source has had before a run begins, int64 [K]."""
        cycle, place = divmod(run * RUN, self.cycle)
        return cycle * self._weights + np.bincount(self._sources[:place], minlength=len(self.weights))

    def _shuffled(self, positions: Int64s) -> Int64s:
        if not self.shuffle:
            return positions
        run, place = np.divmod(positions, RUN)
        return run * RUN + permute(place, RUN, keys_of(self._key, run))

    def _unshuffled(self, places: Int64s) -> Int64s:
        if not self.shuffle:
            return places
        run, place = np.divmod(places, RUN)
        return run * RUN + unpermute(place, RUN, keys_of(self._key, run))

    @cached_property
    def _key(self) -> int:
        return key_of(self.seed, _MIXTURE)

    @cached_property
    def _weights(self) -> Int64s:
        return np.array(self.weights, np.int64)

    @cached_property
    def _sources(self) -> Int64s:
        return pattern(self.weights)

    @cached_property
    def _places_of(self) -> list[Int64s]:
        return np.split(np.argsort(self._sources, kind="stable"), np.cumsum(self._weights)[:-1])

    @cached_property
    def _numbers(self) -> Int64s:
        numbers = np.empty(self.cycle, np.int64)
        for places in self._places_of:
            numbers[places] = np.arange(len(places))
        return numbers


def pattern(weights: Sequence[int]) -> Int64s:
    """Sources in turn, so that every prefix holds each to within one draw of its share: int64 [sum of weights].

    Draw j of a source with the share s must come in [floor(j / s), ceil((j + 1) / s)). The one whose end comes first
    is taken; shares that add up to one always leave room for it.

    >>> pattern([2, 1, 1]).tolist()
    [0, 1, 0, 2]
    """
    total = sum(weights)
    waiting = [(0, source, 0) for source in range(len(weights))]  # when its next draw may come, source, draws so far
    ready: list[tuple[int, int, int]] = []  # by when it must have come, source, draws so far
    found = np.empty(total, np.int64)
    for place in range(total):
        while waiting and waiting[0][0] <= place:
            _, source, drawn = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(drawn + 1) * total // weights[source]), source, drawn))
        _, source, drawn = heapq.heappop(ready)
        found[place] = source
        if drawn + 1 < weights[source]:
            heapq.heappush(waiting, ((drawn + 1) * total // weights[source], source, drawn + 1))
    return found
