"""WHERE conditions: SQL in, a small checked tree out. Text from anywhere becomes data here, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from mmfs.errors import WhereError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.conditions import (
    And,
    Between,
    ColumnRef,
    Compare,
    Condition,
    In,
    IsNull,
    Leaf,
    Like,
    Not,
    Op,
    Opaque,
    Or,
    Value,
    columns_of,
    leaves,
    literal,
)
from mmfs.store.names import Catalog
from mmfs.store.true_sql import true_leaf, true_sql

__all__ = [
    "And",
    "Between",
    "Catalog",
    "ColumnRef",
    "Compare",
    "Condition",
    "In",
    "IsNull",
    "Like",
    "Not",
    "Opaque",
    "Or",
    "Where",
    "parse_where",
]

#: The dialect whose quoting and LIKE rules the engine shares.
DIALECT = "postgres"
_MAX_CHARS = 1_000_000

_OPS: dict[type[exp.Expr], Op] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
#: What the nodes of leaves may carry; the parser keeps variants (SYMMETRIC, DISTINCT) in further arguments.
_LEAF_ARGS = frozenset({"this", "expression", "expressions", "low", "high"})
_FLIPPED: dict[Op, Op] = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

#: What an opaque leaf may be made of, besides names and values.
_OPAQUE = frozenset(
    {
        *_OPS,
        *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Paren, exp.DPipe),
        *(exp.And, exp.Or, exp.Not, exp.Is, exp.Null, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape),
        *(exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Substring, exp.Coalesce, exp.Case, exp.If),
        *(exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Sqrt, exp.Pow, exp.Ln),
        *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean),
    }
)


@dataclass(frozen=True)
class Where:
    """A checked condition about samples of one grain.

    Attributes:
        condition: The tree.
        columns: Every column it reads, sorted.
        grain: The grain of the samples.
        foreign: Tables of which a sample may have many rows: a leaf on one asks whether some row of the media fits.
    """

    condition: Condition
    columns: tuple[ColumnRef, ...]
    grain: Grain
    foreign: frozenset[str]

    def sql(self) -> str:
        """The condition as SQL over the grain's table joined with the tables in ``columns`` that are not foreign."""
        return true_sql(self.condition, self._leaf)

    def _leaf(self, leaf: Leaf, wanted: bool) -> str:
        tables = {column.table for column in columns_of(leaf)} & self.foreign
        if not tables:
            return true_leaf(leaf, wanted)
        table = tables.pop()
        chosen = f'SELECT "{table}"."media_id" FROM "{table}" WHERE "{table}"."media_id" IS NOT NULL'
        some = f'"{GRAIN_TABLES[self.grain]}"."media_id" IN ({chosen} AND {true_leaf(leaf, True)})'
        return some if wanted else f"NOT {some}"


def parse_where(text: str, catalog: Catalog, grain: Grain) -> Where:
    """Read a condition as SQL has it after WHERE.

    Raises:
        WhereError: It does not parse, names no known column, or uses what is not allowed; it names the token.
    """
    tree = _parse(text)
    try:
        condition = _Reader(catalog, grain).condition(tree)
    except RecursionError as error:
        raise WhereError("the condition is nested too deeply", mend="simplify it; use IN for long lists") from error
    columns = tuple(sorted({column for leaf in leaves(condition) for column in columns_of(leaf)}))
    foreign = frozenset(column.table for column in columns if not catalog.is_joined(column.table, grain))
    return Where(condition, columns, grain, foreign)


def _parse(text: str) -> exp.Expr:
    if not text.strip():
        raise WhereError("the condition is empty", mend="write one, as in: width >= 480 AND kind = 'video'")
    if len(text) > _MAX_CHARS or "\0" in text:
        raise WhereError("the condition is too long or holds a null character", mend="save a subset, and use that")
    try:
        trees = sqlglot.Dialect.get_or_raise(DIALECT).parse_into(exp.Condition, text)
    except SqlglotError as error:
        found = (getattr(error, "errors", None) or [{}])[0]
        token = str(found.get("highlight") or "").strip()
        what = f"cannot read {token!r}" if token else f"cannot read {text[:200]!r}"
        raise WhereError(
            f"{what}: {found.get('description') or 'it does not parse'}",
            mend="write one condition, as in: width >= 480 AND kind = 'video'",
        ) from error
    except RecursionError as error:
        raise WhereError("the condition is nested too deeply", mend="simplify it; use IN for long lists") from error
    if len(trees) != 1 or trees[0] is None:
        raise WhereError("there is more than one condition", mend="join them with AND or OR; leave ';' out")
    return trees[0]


class _Reader:
    """Reads the parser's tree against a catalog."""

    def __init__(self, catalog: Catalog, grain: Grain) -> None:
        self._catalog = catalog
        self._grain = grain

    def condition(self, node: exp.Expr) -> Condition:
        if isinstance(node, exp.Paren):
            return self.condition(node.this)
        if isinstance(node, exp.And | exp.Or):
            kind = And if isinstance(node, exp.And) else Or
            return kind(tuple(self.condition(part) for part in node.flatten()))
        if isinstance(node, exp.Not):
            return Not(self.condition(node.this))
        if isinstance(node, exp.Column):
            return self._flag(node)
        if node.args.get("negate"):  # IS NOT NULL, NOT LIKE
            plain = node.copy()
            plain.set("negate", None)
            return Not(self.condition(plain))
        return self._leaf(node) or self._opaque(node)

    def _leaf(self, node: exp.Expr) -> Condition | None:
        """The leaf that a node is, or None when only SQL can do it."""
        if {name for name, part in node.args.items() if part} - _LEAF_ARGS:
            return None  # some variant of the operator that a leaf does not express
        if type(node) in _OPS:
            return self._compare(node)
        subject = node.this if isinstance(node, exp.Is | exp.In | exp.Between | exp.Like) else None
        if not isinstance(subject, exp.Column):
            return None
        column = self._column(subject)
        if isinstance(node, exp.Is):
            if isinstance(node.expression, exp.Null):
                return IsNull(column)
            return self._is_boolean(column, node)
        if isinstance(node, exp.In):
            return self._in(column, node)
        if isinstance(node, exp.Between):
            low, high = self._value(column, node.args["low"]), self._value(column, node.args["high"])
            return None if low is None or high is None else Between(column, low, high)
        pattern = self._value(column, node.expression)
        return Like(column, pattern) if isinstance(pattern, str) else None

    def _compare(self, node: exp.Expr) -> Condition | None:
        op, left, right = _OPS[type(node)], node.this, node.expression
        if not isinstance(left, exp.Column):
            op, left, right = _FLIPPED[op], right, left
        if not isinstance(left, exp.Column):
            return None
        if isinstance(right, exp.Null):
            raise WhereError("nothing equals NULL", where=_short(node), mend="write IS NULL or IS NOT NULL")
        column = self._column(left)
        value = self._value(column, right)
        return None if value is None else Compare(column, op, value)

    def _in(self, column: ColumnRef, node: exp.In) -> Condition | None:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise WhereError("IN takes a list of values", where=_short(node), mend="list them, or save a subset")
        if any(isinstance(item, exp.Null) for item in node.expressions):
            raise WhereError("NULL is never IN a list", where=str(column), mend="write OR ... IS NULL")
        values = [self._value(column, item) for item in node.expressions]
        return None if any(value is None for value in values) else In(column, tuple(cast("list[Value]", values)))

    def _is_boolean(self, column: ColumnRef, node: exp.Is) -> Condition | None:
        value = self._value(column, node.expression)
        if not isinstance(value, bool):
            return None
        return And((Not(IsNull(column)), Compare(column, "=", value)))

    def _flag(self, node: exp.Column) -> Condition:
        column = self._column(node)
        if self._catalog.column(column).type != pa.bool_():
            raise WhereError(f"{column} is no truth value", where=_short(node), mend="compare it with a value")
        return Compare(column, "=", True)

    def _column(self, node: exp.Column) -> ColumnRef:
        if node.args.get("db") or node.args.get("catalog") or not isinstance(node.this, exp.Identifier):
            raise WhereError(f"{node.sql(DIALECT)!r} is no column", mend="write column or table.column")
        name = node.this.name if node.this.quoted else node.this.name.lower()
        return self._catalog.resolve(name, node.table or None, self._grain)

    def _value(self, column: ColumnRef, node: exp.Expr) -> Value | None:
        """The literal that a node is, fitting the column; None when it is no literal."""
        value = _literal(node)
        if value is None:
            return None
        kind = self._catalog.column(column).type
        fits = (
            isinstance(value, bool)
            if kind == pa.bool_()
            else isinstance(value, str)
            if pa.types.is_string(kind)
            else isinstance(value, int | float) and not isinstance(value, bool) and not pa.types.is_binary(kind)
        )
        if not fits:
            what = "a vector" if self._catalog.column(column).vector else f"of type {kind}"
            raise WhereError(
                f"{column} is {what} and cannot be compared with {literal(value)}",
                mend="quote texts with ', leave numbers bare; search compares vectors",
            )
        return float(value) if pa.types.is_floating(kind) else value

    def _opaque(self, node: exp.Expr) -> Opaque:
        columns = []
        for part in node.walk():
            if isinstance(part, exp.In) and not part.expressions:
                raise WhereError("IN takes a list of values", where=_short(part), mend="list them, or save a subset")
            if type(part) not in _OPAQUE:
                raise WhereError(
                    f"{type(part).__name__.upper()} is not allowed in a condition",
                    where=_short(part),
                    mend="use comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, arithmetic, simple functions",
                )
        tree = node.copy()
        for part in list(tree.find_all(exp.Column)):
            column = self._column(part)
            columns.append(column)
            part.replace(exp.column(column.column, column.table, quoted=True))
        tables = {column.table for column in columns}
        foreign = {table for table in tables if not self._catalog.is_joined(table, self._grain)}
        if not columns or (foreign and len(tables) > 1):
            why = "it names no column" if not columns else f"a {self._grain} may have many rows of {foreign.pop()}"
            raise WhereError(f"cannot test {_short(node)!r}: {why}", mend="compare a column with a value")
        return Opaque(f"({tree.sql(DIALECT, comments=False)})", tuple(columns))


def _short(node: exp.Expr) -> str:
    return node.sql(DIALECT, comments=False)[:200]


def _literal(node: exp.Expr) -> Value | None:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg):
        value = _literal(node.this)
        # 0 - 0.0 is 0.0: there is one zero, and the engine must never see the other one as a literal.
        return 0 - value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if not isinstance(node, exp.Literal):
        return None
    text = str(node.this)
    if node.is_string:
        return text
    try:
        number: int | float = int(text) if text.isdigit() else float(text)
    except ValueError as error:
        raise WhereError(f"{text!r} is no number", mend="write numbers as 42, -1.5 or 1e-3") from error
    if abs(number) == float("inf") or (isinstance(number, int) and number >= 1 << 63):
        raise WhereError(f"{text!r} is too large", mend="numbers are int64 or float64")
    return number
