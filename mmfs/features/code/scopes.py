"""Which names inside a function are its own, and which of those are imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Imported:
    """What an import statement binds a name to.

    Attributes:
        module: Module as written, without leading dots.
        level: Number of leading dots.
        name: Name in the module; None for the module itself.
    """

    module: str
    level: int
    name: str | None


#: Name -> its imports; empty for any other local value; None for a name declared ``global``.
Locals = dict[str, tuple[Imported, ...] | None]


@dataclass(frozen=True)
class Scope:
    """The names that a function, class body or comprehension has of its own."""

    names: Locals
    outer: Scope | None
    is_class: bool = False

    def find(self, name: str) -> tuple[Imported, ...] | None:
        """Imports of a local name, none for another local value, None where the name is not local."""
        scope: Scope | None = self
        while scope is not None:
            # A class body's names are not seen from the functions in it.
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.outer
        return None


def function_scope(function: Function, outer: Scope | None) -> Scope:
    """The scope of a function's body."""
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    return Scope({**dict.fromkeys(parameters_of(function.args), ()), **_bound(body)}, outer)


def class_scope(node: ast.ClassDef, outer: Scope | None) -> Scope:
    """The scope of a class body: its imports alone.

    In ``resize = staticmethod(resize)`` the second name is the module's; so names that a class body binds in any
    other way are looked for outside first.
    """
    return Scope({name: imports for name, imports in _bound(node.body).items() if imports}, outer, is_class=True)


def comprehension_scope(node: Comprehension, outer: Scope | None) -> Scope:
    """The scope of a comprehension, but for its first iterable, which is of the scope around it."""
    return Scope(dict.fromkeys(_stored_in([part.target for part in node.generators]), ()), outer)


def parameters_of(args: ast.arguments) -> list[str]:
    """Names of all parameters."""
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *(one for one in (args.vararg, args.kwarg) if one)]
    return [one.arg for one in every]


def imports_of(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
    """Names that an import statement binds (``*`` for all of a module), and to what."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            yield alias.asname or alias.name, Imported(statement.module or "", statement.level, alias.name)
        elif alias.asname:
            yield alias.asname, Imported(alias.name, 0, None)
        else:
            top = alias.name.partition(".")[0]
            yield top, Imported(top, 0, None)


def _bound(body: Sequence[ast.AST]) -> Locals:
    names: Locals = {}
    elsewhere: set[str] = set()
    nodes = list(reversed(body))
    while nodes:
        node = nodes.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.setdefault(node.name, ())
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                inner = [one.target for one in ast.walk(node) if isinstance(one, ast.NamedExpr)]
                names.update((name, names.get(name, ())) for name in _stored_in(inner))
                continue
            case ast.Import() | ast.ImportFrom():
                for name, imported in imports_of(node):
                    names[name] = (*(names.get(name) or ()), imported)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                names.setdefault(node.id, ())
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                if node.name:
                    names.setdefault(node.name, ())
            case ast.MatchMapping():
                if node.rest:
                    names.setdefault(node.rest, ())
            case ast.Global():
                names.update(dict.fromkeys(node.names))
            case ast.Nonlocal():
                elsewhere.update(node.names)
        nodes += reversed(list(ast.iter_child_nodes(node)))
    return {name: imports for name, imports in names.items() if name not in elsewhere}


def _stored_in(targets: Sequence[ast.AST]) -> Iterator[str]:
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                yield node.id
