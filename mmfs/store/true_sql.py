"""A condition as SQL that the engine answers with three-valued logic and with one zero.

The engine's optimiser joins lists: ``a NOT IN (1) OR a NOT IN (2)`` becomes TRUE, also where ``a`` is NULL. A long list
(or a chain of ``=`` joined by OR, which it makes one) tells -0.0 from 0.0, as single comparisons do not. So NOT is
pushed down to the leaves, a negated leaf asks that what it reads be known, and lists hold both zeros.
"""

from __future__ import annotations

from collections.abc import Callable

from mmfs.store.conditions import And, Compare, Condition, In, IsNull, Leaf, Not, Opaque, Or, Value, leaf_sql


def true_sql(condition: Condition, leaf: Callable[[Leaf, bool], str], *, wanted: bool = True) -> str:
    """SQL that is true exactly where the condition is ``wanted``; elsewhere it is false or unknown.

    Args:
        leaf: SQL that is true where a leaf is wanted to be, such as `true_leaf`.
    """
    if isinstance(condition, Not):
        return true_sql(condition.item, leaf, wanted=not wanted)
    if isinstance(condition, And | Or):
        # De Morgan: an AND is false where some item is false.
        word = " AND " if isinstance(condition, And) == wanted else " OR "
        return "(" + word.join(true_sql(item, leaf, wanted=wanted) for item in condition.items) + ")"
    return leaf(condition, wanted)


def true_leaf(leaf: Leaf, wanted: bool) -> str:
    """SQL that is true exactly where one leaf is ``wanted``. Values of floating columns must be floats.

    >>> from mmfs.store.conditions import ColumnRef
    >>> true_leaf(In(ColumnRef("captions", "text"), ("a", "b")), False)
    '("captions"."text" IS NOT NULL AND NOT "captions"."text" IN (\\'a\\', \\'b\\'))'
    """
    if isinstance(leaf, Compare) and leaf.op == "!=":
        return true_leaf(Compare(leaf.column, "=", leaf.value), not wanted)
    text = leaf_sql(_both_zeros(leaf))
    if wanted:
        return text
    if isinstance(leaf, IsNull):
        return f"NOT {text}"
    known = text if isinstance(leaf, Opaque) else f'"{leaf.column.table}"."{leaf.column.column}"'
    return f"({known} IS NOT NULL AND NOT {text})"


def _both_zeros(leaf: Leaf) -> Leaf:
    """The leaf with each 0.0 among equals beside -0.0: the engine makes lists of them, and looks those up by bits."""
    if isinstance(leaf, Compare) and leaf.op == "=" and _is_zero(leaf.value):
        return In(leaf.column, (0.0, -0.0))
    if isinstance(leaf, In) and any(map(_is_zero, leaf.values)):
        return In(leaf.column, (*leaf.values, -0.0))
    return leaf


def _is_zero(value: Value) -> bool:
    return isinstance(value, float) and value == 0
