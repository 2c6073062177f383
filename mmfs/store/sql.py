"""SQL over the store's tables: one SELECT, checked node by node, then run by DataFusion.

Unguarded, the engine would also write and read any file (`COPY ... TO`, `CREATE EXTERNAL TABLE`). So what runs is never
the text that came in, but text made anew from the tree that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import sqlglot
from deltalake import QueryBuilder
from deltalake.exceptions import DeltaError
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from mmfs.errors import SqlError
from mmfs.store.sql_nodes import ADMITTED, FUNCTION_NAMES
from mmfs.store.tables import Tables
from mmfs.store.vectors import unpack_table
from mmfs.store.where import DIALECT

_MAX_CHARS = 1_000_000
#: How a query begins; the parser falls back to keeping text it does not know as a "command".
_BEGINNINGS = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN})


@dataclass(frozen=True)
class Admitted:
    """A query that may run: its text made anew, the tables it reads, and its LIMIT if that is a number."""

    text: str
    tables: frozenset[str]
    limit: int | None


class Sql:
    """Runs queries over the tables of a store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def query(self, text: str, *, versions: Mapping[str, int] | None = None) -> pa.Table:
        """The rows of one SELECT; packed vectors come as ``fixed_size_list<float16|float32>[dim]``.

        Args:
            text: SELECT with joins, CTEs, aggregates, windows; no other statement, no functions as tables.
            versions: Delta version by table; others are read as they are now.

        Raises:
            SqlError: It is not such a SELECT, or the engine refuses it.
        """
        admitted = admit(text, self._tables.names())
        found = self.run(admitted.text, admitted.tables, versions or {})
        # The engine forgets LIMIT when no column is read (SELECT 1 FROM t LIMIT 1).
        return found if admitted.limit is None else found.slice(0, admitted.limit)

    def run(self, text: str, tables: frozenset[str], versions: Mapping[str, int]) -> pa.Table:
        """Run SQL that mmfs made itself."""
        engine = QueryBuilder()
        for name in sorted(tables):
            version = versions.get(name)
            if version is None:
                with self._tables.log.newest(name) as handle:
                    engine.register(name, handle)  # what it shows now, whatever becomes of the handle
            else:
                engine.register(name, self._tables.log.open(name, version))
        try:
            found = pa.RecordBatchReader.from_stream(engine.execute(text)).read_all()
        except (DeltaError, pa.ArrowException, OSError, ValueError) as error:
            raise SqlError(_in_short(error), mend="mend the query; `mmfs tables` lists tables and columns") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise SqlError(f"the engine broke down: {_in_short(error)}", mend="simplify the query") from error
        return unpack_table(_without_views(found))


def admit(text: str, tables: list[str]) -> Admitted:
    """Check a query.

    Raises:
        SqlError: It is not exactly one SELECT over these tables, or holds a node that is not on the list.
    """
    tree = _parse(text)
    ctes = _cte_names(tree)
    used = set()
    for node in tree.walk():
        if type(node) not in ADMITTED:  # a subclass is another node
            raise _refused(node, f"{type(node).__name__.upper()} is not allowed")
        if isinstance(node, exp.Anonymous) and node.name.lower() not in FUNCTION_NAMES:
            raise _refused(node, f"function {node.name} is not allowed")
        if isinstance(node, exp.Identifier) and not node.quoted:
            node.set("this", node.name.lower())  # as the engine reads it, before everything is quoted
        if isinstance(node, exp.Table):
            used.add(_table(node, tables, ctes))
    limit = tree.args.get("limit")
    number = limit.expression.name if isinstance(limit, exp.Limit) else ""
    return Admitted(
        tree.sql(DIALECT, identify=True, comments=False),
        frozenset(used & set(tables)),
        int(number) if number.isdigit() else None,
    )


def _parse(text: str) -> exp.Expr:
    if len(text) > _MAX_CHARS or "\0" in text:
        raise SqlError("the query is too long or holds a null character", mend="save a subset, and join with that")
    try:
        first = sqlglot.tokenize(text, read=DIALECT)[:1]
        if first and first[0].token_type not in _BEGINNINGS:
            raise SqlError(f"{first[0].text.upper()} is not allowed: queries only read", mend="write one SELECT")
        trees = [tree for tree in sqlglot.parse(text, dialect=DIALECT) if tree is not None]
    except SqlglotError as error:
        found = (getattr(error, "errors", None) or [{}])[0]
        token = str(found.get("highlight") or "").strip() or text[:100]
        what = found.get("description") or _in_short(error)
        raise SqlError(f"cannot read {token!r}: {what}", mend="write one SELECT") from error
    except RecursionError as error:
        raise SqlError("the query is nested too deeply", mend="use IN for long lists") from error
    if len(trees) != 1:
        raise SqlError(f"{len(trees)} statements where one is allowed", mend="write one SELECT")
    if not isinstance(trees[0], exp.Select | exp.SetOperation | exp.Subquery):
        raise _refused(trees[0], f"{type(trees[0]).__name__.upper()} is no query")
    return trees[0]


def _cte_names(tree: exp.Expr) -> set[str]:
    for part in tree.find_all(exp.With):
        if part.args.get("recursive"):
            raise SqlError("RECURSIVE is not allowed", mend="join the tables instead")
    return {cte.args["alias"].this.name.lower() for cte in tree.find_all(exp.CTE)}


def _table(node: exp.Table, tables: list[str], ctes: set[str]) -> str:
    if not isinstance(node.this, exp.Identifier):
        raise _refused(node, "functions are not tables")
    name = node.this.name if node.this.quoted else node.this.name.lower()
    if node.args.get("db") or node.args.get("catalog") or name not in {*tables, *ctes}:
        raise SqlError(f"there is no table {node.sql(DIALECT)[:100]}", mend="there are " + ", ".join(tables))
    return name


def _refused(node: exp.Expr, what: str) -> SqlError:
    return SqlError(
        what, where=node.sql(DIALECT, comments=False)[:200], mend="write one SELECT over the store's tables"
    )


def _without_views(table: pa.Table) -> pa.Table:
    """Plain strings and bytes: the engine's view types are unknown to many readers."""
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    for position, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        wanted = plain.get(kind, kind)
        if wanted != field.type:
            column = table.column(position).cast(wanted)
            table = table.set_column(position, field.with_type(wanted), column)
    return table


def _in_short(error: BaseException) -> str:
    """The engine's message on one line; what it was doing comes first, the cause last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join(line for line in lines if line != "caused by")[:500] or type(error).__name__
