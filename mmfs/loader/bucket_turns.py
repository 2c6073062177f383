"""Whose turn it is: in which order shape buckets give their batches. Exact, and computed for any step at once.

A batch has a time: where the middle of it lies in its bucket, as a share of the bucket. Batches come by time, those of
equal times by bucket, so that all buckets are passed evenly, and which comes next follows from the positions alone.
Times are integers, in a unit that divides them all: they are never rounded.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_MORE = 2**62


@dataclass(frozen=True)
class Turns:
    """The batches that buckets give from some positions on, one after the other.

    Attributes:
        sizes: Samples of each bucket; one without any gives no batch.
        positions: Samples of each that are behind.
        width: Samples of a batch.
        owed: Batches that each gives; None: without end.

    >>> list(Turns((40, 20), (0, 0), 10, (4, 2)))
    [0, 1, 0, 0, 1, 0]
    """

    sizes: tuple[int, ...]
    positions: tuple[int, ...]
    width: int
    owed: tuple[int, ...] | None = None

    def __iter__(self) -> Iterator[int]:
        """The bucket of each batch."""
        return self._from([0] * len(self.sizes))

    def before(self, bucket: int, batch: int) -> int:
        """How many batches come before one of a bucket, counted from 0 there.

        >>> Turns((40, 20), (0, 0), 10).before(1, 1)
        4
        """
        time = self._time(bucket, batch)
        return sum(self._until(other, time, is_included=other < bucket) for other in self._active)

    def given(self, batches: int) -> list[int]:
        """How many batches each bucket has given when so many were given in all.

        >>> Turns((40, 20), (0, 0), 10).given(5)
        [3, 2]
        """
        if self.owed is not None and batches >= sum(self.owed):
            return list(self.owed)
        unit = max(1, 2 * self._common * self.width // sum(self.sizes))  # in this time, one batch comes on average

        def in_all(units: int) -> int:
            return sum(self._until(bucket, units * unit) for bucket in self._active)

        most = 1
        while in_all(most) <= batches:
            most *= 2
        units = bisect_right(range(most), batches, key=in_all) - 1
        counts = [0] * len(self.sizes)
        for bucket in self._active:
            counts[bucket] = self._until(bucket, units * unit)
        rest = self._from(list(counts))
        for _ in range(batches - sum(counts)):
            counts[next(rest)] += 1
        return counts

    @cached_property
    def _active(self) -> Sequence[int]:
        return [bucket for bucket, size in enumerate(self.sizes) if size and self._most(bucket)]

    def _most(self, bucket: int) -> int:
        return _MORE if self.owed is None else self.owed[bucket]

    @cached_property
    def _common(self) -> int:
        """Half the time in which every bucket is passed once."""
        return math.lcm(*(size for size in self.sizes if size))

    @cached_property
    def _scales(self) -> Sequence[int]:
        """The time of half a sample of each bucket."""
        return [self._common // size if size else 0 for size in self.sizes]

    def _time(self, bucket: int, batch: int) -> int:
        return (2 * self.positions[bucket] + (2 * batch + 1) * self.width) * self._scales[bucket]

    def _until(self, bucket: int, time: int, *, is_included: bool = False) -> int:
        """How many batches of a bucket come before a time, or, ``is_included``, at it as well."""
        since_first, each = time - self._time(bucket, 0), 2 * self.width * self._scales[bucket]
        count = since_first // each + 1 if is_included else -(-since_first // each)
        return min(max(0, count), self._most(bucket))

    def _from(self, counts: list[int]) -> Iterator[int]:
        """The bucket of each batch after each has given so many."""
        heap = [(self._time(b, counts[b]), b) for b in self._active if counts[b] < self._most(b)]
        heapq.heapify(heap)
        while heap:
            bucket = heap[0][1]
            yield bucket
            counts[bucket] += 1
            if counts[bucket] < self._most(bucket):
                heapq.heapreplace(heap, (self._time(bucket, counts[bucket]), bucket))
            else:
                heapq.heappop(heap)
