"""From a state to the steps that follow it, for one rank: an epoch's, or the endless stream's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mmfs.loader.order import EpochOrder, Order
from mmfs.loader.permutation import key_of, keys_of
from mmfs.loader.state import State, after_step, after_stream_step, steps_left
from mmfs.loader.step import Step
from mmfs.loader.topology import Topology
from mmfs.store.keys import Int64s

#: Positions turned into samples at once: the cost of a call hardly depends on how many there are.
_AT_ONCE = 8192
_CAPTIONS = 3  # separates the draws of captions from the order's use of the seed


def epoch_steps(order: Order, state: State, topology: Topology, *, drop_last: bool) -> Iterator[Step]:
    """The steps from the state to the end of its epoch: as many on every rank.

    Positions at or beyond N are those from the start again, and not valid.
    """
    epoch = order.epoch(state.epoch)
    count, width = order.samples, topology.global_batch
    owed = steps_left(state.position, count, width, drop_last=drop_last)
    for starts in _chunks(state.position, width, owed, topology):
        positions = starts[:, None] + topology.positions(0)
        samples = epoch.samples_at(positions % count)
        draws = caption_draws(epoch, samples)
        for row, start in enumerate(starts.tolist()):
            state = after_step(replace(state, position=start), count, width, drop_last=drop_last)
            substitutes = _Substitutes(epoch, start + width)
            yield Step(state, samples[row], positions[row] < count, draws[row], substitutes)


def stream_steps(order: Order, state: State, topology: Topology) -> Iterator[Step]:
    """The steps from the state on, for ever: positions beyond an epoch are the next one's."""
    count, width = order.samples, topology.global_batch
    valid = np.ones(topology.batch_size, np.bool_)
    epochs: dict[int, EpochOrder] = {}
    while True:
        # Never much more than an epoch at a time, or a small selection would be ordered for many epochs in advance.
        starts = next(_chunks(state.position, width, max(1, count // width), topology))
        positions = starts[:, None] + topology.positions(0)
        numbers, places = state.epoch + positions // count, positions % count
        wanted = np.unique(numbers).tolist()
        epochs = {number: epochs.get(number) or order.epoch(number) for number in wanted}
        samples, draws = np.empty_like(positions), np.empty_like(positions)
        for number in wanted:
            mine = numbers == number
            samples[mine] = epochs[number].samples_at(places[mine])
            draws[mine] = caption_draws(epochs[number], samples[mine])
        for row in range(len(starts)):
            substitutes = _Substitutes(epochs[int(numbers[row, -1])], int(places[row, -1]) + 1)
            state = after_stream_step(state, count, width)
            yield Step(state, samples[row], valid, draws[row], substitutes)


class _Substitutes:
    """The samples that follow a step in its epoch."""

    def __init__(self, epoch: EpochOrder, start: int) -> None:
        self._epoch = epoch
        self._start = start

    def __call__(self) -> Iterator[int]:
        count = self._epoch.order.samples
        for offset in range(count):
            yield int(self._epoch.samples_at(np.array([(self._start + offset) % count], np.int64))[0])


def _chunks(position: int, width: int, steps: int, topology: Topology) -> Iterator[Int64s]:
    """Positions at which steps begin, some thousand samples' worth at a time."""
    most = max(1, _AT_ONCE // topology.batch_size)
    for first in range(0, steps, most):
        yield position + width * np.arange(first, min(first + most, steps), dtype=np.int64)


def caption_draws(epoch: EpochOrder, samples: Int64s) -> Int64s:
    """A number for each sample of an epoch, whatever step and rank deliver it."""
    keys = keys_of(key_of(epoch.order.seed, epoch.epoch, _CAPTIONS), samples)
    return (keys >> np.uint64(1)).astype(np.int64)
