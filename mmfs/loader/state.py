"""Where a run stands in the order: a few integers, the same on every rank and on every topology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmfs.errors import LoaderError


@dataclass(frozen=True)
class State:
    """The state after the last delivered batch; prefetched batches do not count.

    Attributes:
        selection_id: Of the pin.
        order_id: `Order.id`.
        seed: Of the order.
        epoch: The epoch to go on with.
        position: The position in it, in [0, samples).
        step: Batches that each rank was given since the run began; it numbers steps, the order does not use it.
        buckets: Position in each shape bucket, counted from the start of the epoch; their sum is ``position``. A
            stream may be ahead of the epoch in some. Empty without buckets.
    """

    selection_id: str
    order_id: str
    seed: int
    epoch: int = 0
    position: int = 0
    step: int = 0
    buckets: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for a checkpoint."""
        found = {"format": 1, **asdict(self), "buckets": list(self.buckets)}
        return found if self.buckets else {name: value for name, value in found.items() if name != "buckets"}

    def resumed(self, saved: Mapping[str, Any], samples: int) -> State:
        """A saved state, checked against this one's selection and order. Its seed is taken over.

        Raises:
            LoaderError: It is no state, or belongs to another selection or another way of ordering.
        """
        try:
            if saved["format"] != 1:
                raise ValueError(f"format {saved['format']}")
            seed, epoch, position, step = (int(saved[name]) for name in ("seed", "epoch", "position", "step"))
            buckets = tuple(int(one) for one in saved.get("buckets", ()))
            found = State(
                str(saved["selection_id"]), str(saved["order_id"]), seed, epoch, position, step, buckets=buckets
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LoaderError(
                f"this is no loader state: {error!r}", mend="pass what state_dict() returned, as it was"
            ) from error
        if found.selection_id != self.selection_id:
            raise LoaderError(
                f"the state belongs to selection {found.selection_id}, this pin's is {self.selection_id}",
                mend="resume with the pin of the run, or one made like= it",
            )
        if found.order_id != self.order_id:
            raise LoaderError(
                "the state belongs to another way of ordering the same samples",
                mend="resume with the same shuffle= and order parameters",
            )
        is_sum = len(buckets) == len(self.buckets) and (not buckets or found.position == sum(buckets))
        if not (is_sum and 0 <= found.position < samples and found.epoch >= 0 and found.step >= 0):
            raise LoaderError(
                f"the state stands at position {found.position} of epoch {found.epoch}, step {found.step}",
                where=f"{samples} samples",
                mend="pass what state_dict() returned, as it was",
            )
        return found

    def at_epoch(self, epoch: int) -> State:
        """At the start of another epoch; unchanged when it is the current one.

        Raises:
            LoaderError: It is negative.
        """
        if epoch < 0:
            raise LoaderError(f"epoch {epoch}", mend="epochs count from 0")
        if epoch == self.epoch:
            return self
        return replace(self, epoch=epoch, position=0, buckets=(0,) * len(self.buckets))

    def at_buckets(self, epoch: int, buckets: Sequence[int], step: int) -> State:
        """At these positions of shape buckets, counted from the start of an epoch."""
        return replace(self, epoch=epoch, position=sum(buckets), step=step, buckets=tuple(buckets))


def after_step(state: State, samples: int, global_batch: int, *, drop_last: bool) -> State:
    """The state after one step of an epoch: the next position, or the next epoch when no full batch is owed.

    >>> state = State("s", "o", 0, epoch=4, position=8)
    >>> after_step(state, samples=13, global_batch=4, drop_last=False).position
    12
    >>> after_step(state, samples=13, global_batch=4, drop_last=True).epoch
    5
    """
    position = state.position + global_batch
    over = position + global_batch > samples if drop_last else position >= samples
    step = state.step + 1
    return replace(state, epoch=state.epoch + over, position=0 if over else position, step=step)


def after_stream_step(state: State, samples: int, global_batch: int) -> State:
    """The state after one step of the endless stream."""
    epochs, position = divmod(state.position + global_batch, samples)
    return replace(state, epoch=state.epoch + epochs, position=position, step=state.step + 1)


def steps_left(position: int, samples: int, global_batch: int, *, drop_last: bool) -> int:
    """Steps from a position to the end of its epoch: the same on every rank.

    >>> steps_left(0, 13, 4, drop_last=False), steps_left(0, 13, 4, drop_last=True)
    (4, 3)
    """
    left = samples - position
    return left // global_batch if drop_last else -(-left // global_batch)


def state_at_step(
    start: State, step: int, samples: int, global_batch: int, *, drop_last: bool, is_stream: bool
) -> State:
    """The state before a step, when iteration began at ``start`` and went on, epoch after epoch.

    >>> start = State("s", "o", 0, position=8, step=100)
    >>> later = state_at_step(start, 103, samples=13, global_batch=4, drop_last=False, is_stream=False)
    >>> later.epoch, later.position
    (1, 4)
    """
    steps = step - start.step
    if is_stream:
        epochs, position = divmod(start.position + steps * global_batch, samples)
        return replace(start, epoch=start.epoch + epochs, position=position, step=step)
    first = steps_left(start.position, samples, global_batch, drop_last=drop_last)
    if steps < first:
        return replace(start, position=start.position + steps * global_batch, step=step)
    whole = steps_left(0, samples, global_batch, drop_last=drop_last)
    epochs, steps = divmod(steps - first, whole)
    return replace(start, epoch=start.epoch + 1 + epochs, position=steps * global_batch, step=step)
