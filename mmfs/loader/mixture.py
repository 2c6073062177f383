"""A mixture: several pins with weights, which give batches of the same columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from mmfs.errors import LoaderError
from mmfs.ids import digest
from mmfs.store.pin import Pin, PinnedColumn

#: The pattern of a mixture is kept in memory: as many entries as the sum of its weights.
MOST_WEIGHT = 100_000


@dataclass(frozen=True)
class Mixture:
    """Pins to draw from, and how often.

    The order of the pins counts: it numbers them in ``batch["_source"]`` and is part of the selection.

    Attributes:
        pins: What to read.
        weights: Draws of each pin in a cycle, without a common divisor.

    Raises:
        LoaderError: Weights add up to more than 100,000, or the pins do not give the same batches.
    """

    pins: tuple[Pin, ...]
    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        if sum(self.weights) > MOST_WEIGHT:
            raise LoaderError(
                f"the weights of the mixture add up to {sum(self.weights):,}",
                mend=f"round them, so that they add up to {MOST_WEIGHT:,} at most",
            )
        for pin in self.pins:
            if pin.buckets:
                raise LoaderError(
                    f"pin {pin.name!r} has shape buckets, which a mixture cannot keep apart",
                    mend="mix pins without buckets=",
                )
            _refuse_other(self.pins[0], pin)

    @classmethod
    def of(cls, pins: Mapping[str, Pin], weights: Mapping[str, int]) -> Self:
        """The mixture of pins by name, in the order of the weights, which are reduced: 6 to 2 is 3 to 1.

        Raises:
            LoaderError: There is no pin, or a weight is not a positive integer; as well as for the mixture itself.
        """
        if not weights:
            raise LoaderError("a mixture of no pins", mend='give weights by name: {"pin-a": 3, "pin-b": 1}')
        for name, weight in weights.items():
            if not isinstance(weight, int) or isinstance(weight, bool) or weight < 1:
                raise LoaderError(
                    f"pin {name!r} has the weight {weight!r} in the mixture",
                    mend="give positive integers, and leave out what should not be drawn",
                )
        divisor = math.gcd(*weights.values())
        return cls(tuple(pins[name] for name in weights), tuple(weight // divisor for weight in weights.values()))

    @property
    def name(self) -> str:
        """Names and weights, as the ledger keeps them: ``pin-a=3,pin-b=1``."""
        return ",".join(f"{pin.name}={weight}" for pin, weight in zip(self.pins, self.weights, strict=True))

    @cached_property
    def id(self) -> str:
        """Hash of all that is read, and how often."""
        parts = (f"{pin.id}/{weight}" for pin, weight in zip(self.pins, self.weights, strict=True))
        return digest("mixture-content/1", *parts)[:32]

    @property
    def samples(self) -> int:
        """Samples of all pins together."""
        return sum(pin.samples for pin in self.pins)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a batch, in the order of the first pin."""
        return self.pins[0].columns

    @cached_property
    def selection_id(self) -> str:
        """Hash of the pins' samples, their order and their weights; columns and versions are no part of it."""
        parts = (f"{pin.selection_id}/{weight}" for pin, weight in zip(self.pins, self.weights, strict=True))
        return digest("mixture/1", *parts)[:32]


def pins_of(source: Pin | Mixture) -> tuple[Pin, ...]:
    """The pins that a loader reads."""
    return source.pins if isinstance(source, Mixture) else (source,)


def _refuse_other(first: Pin, pin: Pin) -> None:
    """Raise when batches of two pins would not look alike."""
    where = f"pins {first.name!r} and {pin.name!r} of a mixture"
    for one, other in ((first, pin), (pin, first)):
        for column in one.columns:
            if column not in other.columns:
                raise LoaderError(
                    f"pin {other.name!r} has no column {column!r}, which pin {one.name!r} has",
                    where=where,
                    mend=f"pin both with the same columns: like={other.name!r} and columns=[...] keeps its samples",
                )
    for column in first.columns:
        ours, theirs = _look_of(first, column), _look_of(pin, column)
        differs = [f"{name} {ours.get(name)} and {theirs.get(name)}" for name in ours if ours[name] != theirs.get(name)]
        if differs:
            raise LoaderError(
                f"column {column!r} is not alike: {', '.join(differs)}",
                where=where,
                mend="pin both with the same grain and window, and features of the same kind and code",
            )
    if (first.missing == "null") != (pin.missing == "null"):
        raise LoaderError(
            f"pin {first.name!r} has missing={first.missing!r}, pin {pin.name!r} missing={pin.missing!r}",
            where=where,
            mend='pin both with missing="null", or neither',
        )


def _look_of(pin: Pin, column: str) -> dict[str, Any]:
    """What of a pinned column shows in a batch, by the words of an error."""
    live = pin.live.get(column)
    if live is None:
        return _look_of_value(pin, pin.sources[column])
    look = {"fingerprint": live.fingerprint, **_look_of_value(pin, live.value)}
    for one in live.inputs:
        of_input = _look_of_value(pin, pin.sources[one.column])
        look |= {f"{name} of {one.name}": value for name, value in of_input.items()}
    return look


def _look_of_value(pin: Pin, source: PinnedColumn) -> dict[str, Any]:
    is_coarser = source.grain != pin.grain
    return {
        "kind": source.kind,
        "codec": source.codec,
        "dtype": source.dtype,
        "length": source.dim,
        "frames": pin.window.frames if pin.window and not is_coarser else None,
        "several values a sample": is_coarser and source.grain != "media",
    }
