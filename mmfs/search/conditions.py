"""Conditions on payloads, in nobody's dialect: each engine turns them into its own filters.

There is no negation but `Without`, which also holds for points that lack the value; whoever translates SQL pairs it
with `Without(Missing(key))` (see `filters.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Equals:
    """The value is this text or whole number. Truth values are stored as 0 and 1."""

    key: str
    value: str | int


@dataclass(frozen=True)
class OneOf:
    """The value is one of these texts, or one of these whole numbers; never a mixture."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """The number lies within these bounds; None is no bound."""

    key: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


@dataclass(frozen=True)
class Missing:
    """The point has no such value: NULL in SQL."""

    key: str


@dataclass(frozen=True)
class Ids:
    """The point is one of these. Of none: nothing matches."""

    ids: frozenset[UUID]


@dataclass(frozen=True)
class AllOf:
    """All hold. Of none: everything matches."""

    items: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one holds. Of none: nothing matches."""

    items: tuple[Condition, ...]


@dataclass(frozen=True)
class Without:
    """It does not hold, or cannot be told because the value is missing."""

    item: Condition


Condition = Equals | OneOf | Range | Missing | Ids | AllOf | AnyOf | Without

NOTHING = Ids(frozenset())
EVERYTHING = AllOf(())
