"""Modules as files: found and parsed without importing them, with the statements that give each of their names a value.

A file is parsed once for each change time and size.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mmfs.features.code.scopes import Imported, imports_of, parameters_of

Stamp = tuple[str, int, int]  # path, change time in ns, size in bytes


@dataclass
class Bindings:
    """What gives names their values in the body of a module or function.

    Attributes:
        names: Name -> its imports, and the statements that define or change it, in order. A condition around a
            statement stands before it.
        stars: Modules of which every name is imported.
        opaque: Names without a statement: parameters.
    """

    names: dict[str, list[Imported | ast.AST]] = field(default_factory=lambda: defaultdict(list))
    stars: list[Imported] = field(default_factory=list)
    opaque: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ParsedModule:
    """A module's source.

    Attributes:
        stamp: The state of the file that was read.
        tree: Its syntax tree.
        bindings: What its names stand for.
    """

    stamp: Stamp
    tree: ast.Module
    bindings: Bindings


def stamp_of(path: Path) -> Stamp:
    """The state of a file: equal stamps mean equal content.

    Raises:
        OSError: There is no such file.
    """
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


def parse(path: Path) -> ParsedModule:
    """A module's source, parsed.

    Raises:
        OSError: The file cannot be read.
        SyntaxError: It is not Python.
    """
    return _parsed(stamp_of(path))


@lru_cache(maxsize=1024)
def _parsed(stamp: Stamp) -> ParsedModule:
    tree = ast.parse(Path(stamp[0]).read_bytes())
    return ParsedModule(stamp, tree, bindings_of(tree.body))


def find_module(name: str, near: Sequence[Path] = ()) -> Path | None:
    """The source file of a module; None where there is none (a namespace package, an extension, no module at all).

    Args:
        near: Folders to look in for the top-level package where it is not imported.
    """
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Path(loaded) if loaded.endswith(".py") else None
    parent, _, leaf = name.rpartition(".")
    for folder in _folders(parent, near):
        for path in (folder / leaf / "__init__.py", folder / f"{leaf}.py"):
            if path.is_file():
                return path
    return None


def is_module(name: str, near: Sequence[Path] = ()) -> bool:
    """Whether there is a module of this name, be it a namespace package."""
    return find_module(name, near) is not None or next(_folders(name, near), None) is not None


def _folders(package: str, near: Sequence[Path]) -> Iterator[Path]:
    """Folders that hold a package's modules."""
    if not package:
        yield from near
        return
    # A namespace package can lie in several folders, which only the import system knows.
    loaded = [Path(entry) for entry in getattr(sys.modules.get(package), "__path__", ())]
    yield from loaded
    parent, _, leaf = package.rpartition(".")
    if not loaded:
        yield from (folder / leaf for folder in _folders(parent, near) if (folder / leaf).is_dir())


def bindings_of(body: Sequence[ast.stmt]) -> Bindings:
    """What gives names their values in a body of statements."""
    found, changes = Bindings(), list[tuple[str, ast.stmt]]()
    # Where names are loaded lazily, by __getattr__, the imports for type checkers say where they come from.
    is_lazy = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in body)
    _collect(body, (), found, changes, is_lazy)
    for name, statement in changes:
        bound = found.names.get(name)
        if bound and not any(isinstance(one, Imported) or one is statement for one in bound):
            bound.append(statement)
    return found


def function_bindings(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Bindings:
    """What gives names their values in a function, for what is defined inside it."""
    found = bindings_of(function.body)
    found.opaque = frozenset(parameters_of(function.args))
    return found


def is_for_type_checkers(test: ast.expr) -> bool:
    """Whether a condition is ``TYPE_CHECKING``."""
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _collect(
    body: Sequence[ast.stmt],
    conditions: tuple[ast.expr, ...],
    found: Bindings,
    changes: list[tuple[str, ast.stmt]],
    is_lazy: bool,
) -> None:
    for statement in body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                for name, imported in imports_of(statement):
                    if name == "*":
                        found.stars.append(imported)
                    else:
                        found.names[name].append(imported)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.names[statement.name] += [*conditions, statement]
                # @function.register gives the function a case more.
                roots = (_root(one) for one in statement.decorator_list if not isinstance(one, ast.Name))
                changes += [(name, statement) for name in roots if name]
            case ast.If() if is_for_type_checkers(statement.test):
                _collect(statement.body if is_lazy else statement.orelse, conditions, found, changes, is_lazy)
            case ast.If() if _is_script_guard(statement.test):
                _collect(statement.orelse, conditions, found, changes, is_lazy)
            case ast.If():
                inner = (*conditions, statement.test)
                _collect([*statement.body, *statement.orelse], inner, found, changes, is_lazy)
            case ast.Try() | ast.TryStar():
                handled = [line for handler in statement.handlers for line in handler.body]
                lines = [*statement.body, *handled, *statement.orelse, *statement.finalbody]
                _collect(lines, conditions, found, changes, is_lazy)
            case ast.With():
                _collect(statement.body, conditions, found, changes, is_lazy)
            case ast.AnnAssign(value=None):
                pass
            case _:
                for name in dict.fromkeys(_stored(statement)):
                    found.names[name] += [*conditions, statement]
                changes += [(name, statement) for name in dict.fromkeys(_changed(statement))]


def _is_script_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and getattr(test.left, "id", None) == "__name__"


def _stored(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names of values that a statement changes in place: ``TABLE["a"] = f``, ``TABLE.update(...)``."""
    for node in ast.walk(statement):
        target: ast.expr | None = None
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            target = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            target = node.value.func
        if target is not None and not isinstance(target, ast.Name) and (root := _root(target)):
            yield root


def _root(node: ast.expr) -> str | None:
    """The name at the root of ``name.a[0].b(...)``."""
    while True:
        match node:
            case ast.Attribute() | ast.Subscript():
                node = node.value
            case ast.Call():
                node = node.func
            case ast.Name():
                return node.id
            case _:
                return None
