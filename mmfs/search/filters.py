"""WHERE conditions as conditions on payloads, with SQL's logic of NULL.

NOT is pushed down to the leaves, and a negated leaf asks that the value be there: in SQL, ``NOT width = 3`` does not
choose rows without a width, while an engine's ``must_not`` would. What a payload cannot answer exactly is left to SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmfs.search.conditions import AllOf, AnyOf, Condition, Equals, Missing, OneOf, Range, Without
from mmfs.search.port import PayloadColumn
from mmfs.search.spaces import EXACT_INTEGER
from mmfs.store import conditions as sql

Columns = Mapping[sql.ColumnRef, PayloadColumn]


@dataclass(frozen=True)
class Split:
    """A WHERE in two parts that must both hold.

    Attributes:
        pushed: What the engine answers; None: nothing.
        rest: What only SQL can answer; None: nothing.
    """

    pushed: Condition | None
    rest: sql.Condition | None


def split(condition: sql.Condition, columns: Columns) -> Split:
    """Divide a condition between engine and SQL, by the parts that AND joins.

    Args:
        columns: The columns that the payload holds exactly.
    """
    pushed: list[Condition] = []
    rest: list[sql.Condition] = []
    for part in conjuncts(condition):
        translated = translate(part, columns)
        if translated is None:
            rest.append(part)
        else:
            pushed.append(translated)
    return Split(
        None if not pushed else pushed[0] if len(pushed) == 1 else AllOf(tuple(pushed)),
        None if not rest else rest[0] if len(rest) == 1 else sql.And(tuple(rest)),
    )


def conjuncts(condition: sql.Condition) -> Iterator[sql.Condition]:
    """The parts that AND joins, however it is nested."""
    if isinstance(condition, sql.And):
        for item in condition.items:
            yield from conjuncts(item)
    else:
        yield condition


def translate(condition: sql.Condition, columns: Columns, *, wanted: bool = True) -> Condition | None:
    """The condition on payloads that holds exactly where SQL finds ``condition`` to be ``wanted``.

    Returns:
        None when the payload cannot tell.
    """
    match condition:
        case sql.Not(item):
            return translate(item, columns, wanted=not wanted)
        case sql.And(items) | sql.Or(items):
            parts = [translate(item, columns, wanted=wanted) for item in items]
            known = tuple(part for part in parts if part is not None)
            if len(known) < len(parts):
                return None
            # De Morgan: an AND is false where some item is false.
            return AllOf(known) if isinstance(condition, sql.And) == wanted else AnyOf(known)
        case sql.Opaque() | sql.Like():
            return None
    column = columns.get(condition.column)
    if column is None:
        return None
    missing = Missing(column.key)
    if isinstance(condition, sql.IsNull):
        return missing if wanted else Without(missing)
    found = _leaf(condition, column)
    if found is None:
        return None
    return found if wanted else AllOf((Without(missing), Without(found)))


def _leaf(leaf: sql.Compare | sql.In | sql.Between, column: PayloadColumn) -> Condition | None:
    """Where the leaf is true."""
    match leaf:
        case sql.Compare(_, op, value):
            return _compare(column, op, value)
        case sql.In(_, values):
            parts = [_compare(column, "=", value) for value in values]
            known = tuple(part for part in parts if part is not None)
            if len(known) < len(parts):
                return None
            equals = [part.value for part in known if isinstance(part, Equals)]
            if len(equals) < len(known) or not equals:
                return AnyOf(known)
            texts = tuple(value for value in equals if isinstance(value, str))
            return OneOf(column.key, texts or tuple(value for value in equals if isinstance(value, int)))
        case sql.Between(_, low, high):
            above, below = _compare(column, ">=", low), _compare(column, "<=", high)
            return None if above is None or below is None else AllOf((above, below))


def _compare(column: PayloadColumn, op: sql.Op, value: sql.Value) -> Condition | None:
    if op == "!=":
        equal = _compare(column, "=", value)
        return None if equal is None else AllOf((Without(Missing(column.key)), Without(equal)))
    if column.kind == "text":
        return Equals(column.key, value) if isinstance(value, str) and op == "=" else None
    if column.kind == "truth":
        return Equals(column.key, int(value)) if isinstance(value, bool) and op == "=" else None
    if isinstance(value, str | bool) or abs(value) > EXACT_INTEGER:
        return None
    match op:
        case "=":
            if column.kind == "integer" and isinstance(value, int):
                return Equals(column.key, value)
            return Range(column.key, gte=float(value), lte=float(value))
        case "<":
            return Range(column.key, lt=float(value))
        case "<=":
            return Range(column.key, lte=float(value))
        case ">":
            return Range(column.key, gt=float(value))
    return Range(column.key, gte=float(value))
