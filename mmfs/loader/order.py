"""The global sample order of an epoch: a pure function of (samples per shard, seed, epoch, order parameters).

World size, batch size and threads do not appear here, which is why they cannot change the order. README.md in this
folder says it step by step: blocks are cut and permuted, their concatenation is cut into streams, runs of each stream
are shuffled, and positions are dealt to the streams in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmfs.errors import PinError
from mmfs.ids import digest
from mmfs.loader.permutation import key_of, keys_of, permute, unpermute
from mmfs.store.pin import OrderParameters

Int64s = npt.NDArray[np.int64]

_BLOCKS, _RUNS = 1, 2  # separate the two uses of one seed


def blocks_of(shard_rows: Sequence[int], block: int) -> int:
    """Number of blocks: each shard is cut into blocks of ``block`` samples, the last of a shard may be shorter.

    >>> blocks_of([33, 0, 16], 16)
    4
    """
    return sum(-(-rows // block) for rows in shard_rows)


@dataclass(frozen=True)
class Order:
    """The orders of all epochs over one selection.

    Attributes:
        shard_rows: Samples of each shard, shards in canonical order; empty shards may be among them.
        parameters: Block length, streams and group.
        seed: Seed of the order.
        shuffle: False for canonical order in every epoch.

    Raises:
        PinError: There is no sample.

    >>> order = Order((20, 13), OrderParameters(block=4), seed=7)
    >>> sorted(order.epoch(0).samples_at(np.arange(33)).tolist()) == list(range(33))
    True
    """

    shard_rows: tuple[int, ...]
    parameters: OrderParameters
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.samples == 0:
            raise PinError("the selection holds no sample", mend="loosen its condition, or pin other media")

    @cached_property
    def samples(self) -> int:
        """N, the number of samples of an epoch."""
        return sum(self.shard_rows)

    @cached_property
    def streams(self) -> int:
        """C, the number of streams."""
        return self.parameters.resolved(blocks_of(self.shard_rows, self.parameters.block)).streams or 1

    @cached_property
    def id(self) -> str:
        """Hash of what turns a seed and an epoch into an order, besides the selection."""
        parameters = self.parameters
        return digest("order/1", f"{parameters.block}/{self.streams}/{parameters.group}/{self.shuffle}")[:16]

    @cached_property
    def _layout(self) -> _Layout:
        return _Layout.of(self.shard_rows, self.parameters.block)

    def epoch(self, epoch: int) -> EpochOrder:
        """The order of one epoch. Costs O(shards); keep it while the epoch lasts."""
        if not self.shuffle:
            return EpochOrder(self, epoch, _NOTHING, _NOTHING, _NOTHING)
        layout = self._layout
        short = np.flatnonzero(layout.sizes % self.parameters.block)
        blocks = layout.first_block[short + 1] - 1
        deficits = self.parameters.block - layout.sizes[short] % self.parameters.block
        places = unpermute(blocks, layout.blocks, key_of(self.seed, epoch, _BLOCKS))
        by_place = np.argsort(places, kind="stable")
        places, deficits = places[by_place], deficits[by_place]
        lost = np.concatenate(([0], np.cumsum(deficits)))
        ends = (places + 1) * self.parameters.block - lost[1:]
        return EpochOrder(self, epoch, places, lost, ends)


@dataclass(frozen=True)
class EpochOrder:
    """The order of one epoch: position -> sample and back, for arrays of either.

    Attributes:
        short_places: Places of the short blocks in the permuted sequence, ascending.
        lost_before: Rows missing before the k-th short block, against blocks that were all full; one longer.
        short_ends: Row of the permuted sequence at which the k-th short block ends.
    """

    order: Order
    epoch: int
    short_places: Int64s
    lost_before: Int64s
    short_ends: Int64s

    def samples_at(self, positions: Int64s) -> Int64s:
        """Sample numbers (canonical, from 0) at positions in [0, N); int64 of the same shape."""
        order = self.order
        if not order.shuffle:
            return positions.astype(np.int64)
        streams, block = order.streams, order.parameters.block
        stream, row = positions % streams, positions // streams
        within, run, length = self._run_of(stream, row)
        shuffled = permute(within, length, self._run_keys(stream, run))
        sequence = self._stream_start(stream) + run * (block * order.parameters.group) + shuffled
        shifted = sequence + self.lost_before[np.searchsorted(self.short_ends, sequence, side="right")]
        layout = order._layout
        number = permute(shifted // block, layout.blocks, self._block_key)
        return layout.sample_of(number, shifted % block)

    def positions_of(self, samples: Int64s) -> Int64s:
        """Positions of samples: the inverse of `samples_at`."""
        order = self.order
        if not order.shuffle:
            return samples.astype(np.int64)
        streams, block = order.streams, order.parameters.block
        number, offset = order._layout.block_of(samples)
        place = unpermute(number, order._layout.blocks, self._block_key)
        sequence = place * block - self.lost_before[np.searchsorted(self.short_places, place)] + offset
        quotient, more = divmod(order.samples, streams)
        longer = more * (quotient + 1)  # rows in the streams that hold one more
        stream = np.where(
            sequence < longer,
            sequence // (quotient + 1),
            more + (sequence - longer) // max(quotient, 1),
        )
        within, run, length = self._run_of(stream, sequence - self._stream_start(stream))
        row = run * (block * order.parameters.group) + unpermute(within, length, self._run_keys(stream, run))
        return row * streams + stream

    @property
    def _block_key(self) -> int:
        return key_of(self.order.seed, self.epoch, _BLOCKS)

    def _stream_start(self, stream: Int64s) -> Int64s:
        quotient, more = divmod(self.order.samples, self.order.streams)
        return stream * quotient + np.minimum(stream, more)

    def _run_of(self, stream: Int64s, row: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Place within its run, number of the run and its length, for rows of streams."""
        quotient, more = divmod(self.order.samples, self.order.streams)
        longest = self.order.parameters.block * self.order.parameters.group
        run = row // longest
        length = np.minimum(longest, quotient + (stream < more) - run * longest)
        return row - run * longest, run, length

    def _run_keys(self, stream: Int64s, run: Int64s) -> npt.NDArray[np.uint64]:
        return keys_of(key_of(self.order.seed, self.epoch, _RUNS), run * self.order.streams + stream)


@dataclass(frozen=True)
class _Layout:
    """Where blocks begin: prefix sums over shards.

    Attributes:
        sizes: Samples of each shard.
        first_sample: Sample at which each shard begins; one longer than ``sizes``.
        first_block: Block with which each shard begins; one longer than ``sizes``.
    """

    block: int
    sizes: Int64s
    first_sample: Int64s
    first_block: Int64s

    @classmethod
    def of(cls, shard_rows: Sequence[int], block: int) -> _Layout:
        sizes = np.asarray(shard_rows, np.int64)
        return cls(block, sizes, _prefix(sizes), _prefix(-(-sizes // block)))

    @property
    def blocks(self) -> int:
        return int(self.first_block[-1])

    def sample_of(self, number: Int64s, offset: Int64s) -> Int64s:
        shard = np.searchsorted(self.first_block, number, side="right") - 1
        return self.first_sample[shard] + (number - self.first_block[shard]) * self.block + offset

    def block_of(self, samples: Int64s) -> tuple[Int64s, Int64s]:
        shard = np.searchsorted(self.first_sample, samples, side="right") - 1
        inside = samples - self.first_sample[shard]
        return self.first_block[shard] + inside // self.block, inside % self.block


def _prefix(sizes: Int64s) -> Int64s:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)))


_NOTHING = np.zeros(0, np.int64)
