"""WHERE conditions evaluated row by row in plain Python, with SQL's three truth values: the yardstick of the engine."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping

from mmfs.store.where import And, Between, Compare, Condition, In, IsNull, Like, Not, Or

_OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def truth(condition: Condition, row: Mapping[str, object]) -> bool | None:
    """True, False or unknown (None) for a row of ``table.column`` values."""
    if isinstance(condition, And | Or):
        decisive = isinstance(condition, Or)
        found = [truth(item, row) for item in condition.items]
        return decisive if decisive in found else None if None in found else not decisive
    if isinstance(condition, Not):
        inner = truth(condition.item, row)
        return None if inner is None else not inner
    value = row[str(condition.column)]  # type: ignore[union-attr]
    if isinstance(condition, IsNull):
        return value is None
    if value is None:
        return None
    if isinstance(condition, Compare):
        return bool(_OPERATORS[condition.op](value, condition.value))
    if isinstance(condition, In):
        return value in condition.values
    if isinstance(condition, Between):
        return bool(condition.low <= value <= condition.high)  # type: ignore[operator]
    assert isinstance(condition, Like)
    return re.fullmatch(_regex(condition.pattern), str(value), re.DOTALL) is not None


def _regex(pattern: str) -> str:
    return "".join(_part(part) for part in re.findall(r"\\.|.", pattern, re.DOTALL))


def _part(part: str) -> str:
    if part in "%_":
        return ".*" if part == "%" else "."
    return re.escape(part[1:] if part.startswith("\\") and len(part) > 1 else part)
