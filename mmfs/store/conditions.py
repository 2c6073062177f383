"""The small tree that a WHERE condition becomes. SQL, the search engine and tests all work on this, never on text.

NULL behaves as in SQL: a comparison with a missing value is unknown, and unknown rows are not chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = str | int | float | bool
Op = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, order=True)
class ColumnRef:
    """A column of a table of the store."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class And:
    items: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    items: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    item: Condition


@dataclass(frozen=True)
class Compare:
    column: ColumnRef
    op: Op
    value: Value


@dataclass(frozen=True)
class In:
    column: ColumnRef
    values: tuple[Value, ...]


@dataclass(frozen=True)
class IsNull:
    column: ColumnRef


@dataclass(frozen=True)
class Like:
    """``%`` stands for any characters, ``_`` for one, a backslash for the next one itself. Case counts."""

    column: ColumnRef
    pattern: str


@dataclass(frozen=True)
class Between:
    """``low <= column <= high``."""

    column: ColumnRef
    low: Value
    high: Value


@dataclass(frozen=True)
class Opaque:
    """Allowed, but only SQL can evaluate it: arithmetic, functions, columns compared with each other."""

    sql: str
    columns: tuple[ColumnRef, ...]


Condition: TypeAlias = And | Or | Not | Compare | In | IsNull | Like | Between | Opaque
Leaf: TypeAlias = Compare | In | IsNull | Like | Between | Opaque


def leaves(condition: Condition) -> Iterator[Leaf]:
    """The leaves from left to right."""
    if isinstance(condition, And | Or):
        for item in condition.items:
            yield from leaves(item)
    elif isinstance(condition, Not):
        yield from leaves(condition.item)
    else:
        yield condition


def render(condition: Condition, leaf: Callable[[Leaf], str]) -> str:
    """SQL text of a tree, its leaves rendered by ``leaf``."""
    if isinstance(condition, And | Or):
        word = " AND " if isinstance(condition, And) else " OR "
        return "(" + word.join(render(item, leaf) for item in condition.items) + ")"
    if isinstance(condition, Not):
        return f"(NOT {render(condition.item, leaf)})"
    return leaf(condition)


def leaf_sql(leaf: Leaf) -> str:
    """SQL text of one leaf, names qualified and quoted, values as literals made anew.

    >>> leaf_sql(Compare(ColumnRef("captions", "text"), "=", "it's"))
    '"captions"."text" = \\'it\\'\\'s\\''
    """
    if isinstance(leaf, Opaque):
        return leaf.sql
    name = f'"{leaf.column.table}"."{leaf.column.column}"'
    if isinstance(leaf, Compare):
        return f"{name} {leaf.op} {literal(leaf.value)}"
    if isinstance(leaf, In):
        return f"{name} IN ({', '.join(literal(value) for value in leaf.values)})"
    if isinstance(leaf, IsNull):
        return f"{name} IS NULL"
    if isinstance(leaf, Like):
        return f"{name} LIKE {literal(leaf.pattern)}"
    return f"{name} BETWEEN {literal(leaf.low)} AND {literal(leaf.high)}"


def literal(value: Value) -> str:
    """A value as a SQL literal.

    >>> literal("Robert'); DROP TABLE students;--")
    "'Robert''); DROP TABLE students;--'"
    """
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def columns_of(leaf: Leaf) -> tuple[ColumnRef, ...]:
    """The columns that a leaf reads."""
    return leaf.columns if isinstance(leaf, Opaque) else (leaf.column,)
