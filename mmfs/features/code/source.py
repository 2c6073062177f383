"""Code in a normal form, in which comments, docstrings, layout, annotations and the style of imports do not count.

The form is the same under every supported version of Python, and says nothing of where the code lies.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mmfs.features.code.modules import is_for_type_checkers
from mmfs.features.code.scopes import (
    Comprehension,
    Function,
    Imported,
    Scope,
    class_scope,
    comprehension_scope,
    function_scope,
)

T = TypeVar("T")

#: Where a reference to other code stands in the text; no syntax tree has this character.
HOLE = "\0"
#: Before the name of an exception, in place of its content: raising it with another message changes no result.
ERROR = "error "
#: Before the name of an exception of mmfs, whose arguments are messages and no more.
OUR_ERROR = "error of mmfs "
#: Fields that hold no code, or follow from where a node stands.
_SILENT = frozenset({"annotation", "returns", "ctx", "kind", "type_comment", "type_params", "type_ignores"})


@dataclass(frozen=True)
class Reference(Generic[T]):
    """What a name stands for.

    Attributes:
        target: Code that counts with its own content, or the full name of what does not (a library's function).
        rest: Attributes taken from it.
    """

    target: T | str
    rest: tuple[str, ...] = ()


#: Imports of a name (None: it is not local), the name, attributes taken from it -> what it stands for, if known.
Resolve = Callable[[tuple[Imported, ...] | None, str, tuple[str, ...]], list[Reference[T]]]


@dataclass(frozen=True)
class CountedClass:
    """What counts of a class.

    Attributes:
        uncounted: Names of members that do not.
        decorators: Decorators that do.
        bases: Bases that do.
    """

    uncounted: frozenset[str]
    decorators: list[ast.expr]
    bases: list[ast.expr]


@dataclass(frozen=True)
class NormalForm(Generic[T]):
    """Code in its normal form.

    Attributes:
        text: The syntax tree, with a `HOLE` for each reference to code that counts.
        references: What the holes stand for, in order.
        attributes: Names of all attributes taken in the code, and texts that could be such names.
    """

    text: str
    references: tuple[T, ...]
    attributes: frozenset[str]


def normal_form(
    nodes: Iterable[ast.AST], resolve: Resolve[T], rules: Callable[[ast.ClassDef], CountedClass]
) -> NormalForm[T]:
    """The normal form of some statements or expressions.

    Args:
        nodes: As they stand in a module, or in a function around them.
        resolve: What the names stand for.
        rules: What counts of the classes among ``nodes`` themselves.
    """
    writer = _Writer(resolve)
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            writer.class_definition(node, rules(node), None)
        else:
            writer.write(node, None)
    return NormalForm("".join(writer.text), tuple(writer.references), frozenset(writer.attributes))


@dataclass
class _Writer(Generic[T]):
    resolve: Resolve[T]
    text: list[str] = field(default_factory=list)
    references: list[T] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)

    def write(self, node: ast.AST, scope: Scope | None) -> None:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
                pass  # a name stands for the same wherever it was imported; docstrings are expressions
            case ast.Name():
                self._name(node, (), scope)
            case ast.Attribute():
                self._attribute(node, scope)
            case ast.Constant():
                if isinstance(node.value, str) and node.value.isidentifier():
                    self.attributes.add(node.value)  # perhaps for getattr
                self.text.append(f"{node.value!a},")  # repr depends on the version's Unicode tables
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._function(node, scope)
            case ast.ClassDef():
                self.class_definition(node, CountedClass(frozenset(), node.decorator_list, node.bases), scope)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node, scope)
            case ast.AnnAssign() if scope is None or not scope.is_class:
                if node.value is not None:
                    self._node("Assign", [("targets", [node.target]), ("value", node.value)], scope)
            case ast.If() if is_for_type_checkers(node.test):
                self._all(node.orelse, scope)
            case ast.Raise():
                self._raise(node, scope)
            case ast.Assert():
                self._node("Assert", [("test", node.test)], scope)
            case _:
                self._node(type(node).__name__, list(ast.iter_fields(node)), scope)

    def class_definition(self, node: ast.ClassDef, counted: CountedClass, outer: Scope | None) -> None:
        body = [line for line in node.body if not counted.uncounted.intersection(_bound_by(line))]
        self.text.append(f"ClassDef {node.name}(")
        self._all([*counted.decorators, *counted.bases, *node.keywords], outer)
        self.text.append("){")
        self._all(body, class_scope(node, outer))
        self.text.append("}")

    def _function(self, node: Function, outer: Scope | None) -> None:
        args = node.args
        if isinstance(node, ast.Lambda):
            self.text.append("Lambda(")
            body: list[ast.AST] = [node.body]
        else:
            self.text.append(f"{type(node).__name__} {node.name}(")
            self._all(node.decorator_list, outer)
            body = list(node.body)
        for kind, several in (("/", args.posonlyargs), ("", args.args), ("=", args.kwonlyargs)):
            self.text += [f"{kind}{one.arg}," for one in several]
        self.text += [f"{stars}{one.arg}," for stars, one in (("*", args.vararg), ("**", args.kwarg)) if one]
        for default in (*args.defaults, *args.kw_defaults):
            self.text.append("=")
            if default is not None:
                self.write(default, outer)
        self.text.append("){")
        self._all(body, function_scope(node, outer))
        self.text.append("}")

    def _comprehension(self, node: Comprehension, outer: Scope | None) -> None:
        inner = comprehension_scope(node, outer)
        self.text.append(f"{type(node).__name__}(")
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt], inner)
        for number, part in enumerate(node.generators):
            self.text.append(f"for{part.is_async}(")
            self._all([part.target], inner)
            self._all([part.iter], inner if number else outer)
            self._all(part.ifs, inner)
            self.text.append(")")
        self.text.append(")")

    def _raise(self, node: ast.Raise, scope: Scope | None) -> None:
        """Without the texts of the message; without all arguments where those can be nothing else."""
        error = node.exc
        if isinstance(error, ast.Call):
            before = len(self.text)
            self.write(error.func, scope)
            is_ours = any(part.startswith(f"<{OUR_ERROR}") for part in self.text[before:])
            every = [] if is_ours else [*error.args, *error.keywords]
            values = [(one, one.value if isinstance(one, ast.keyword) else one) for one in every]
            self._all((one for one, value in values if not isinstance(value, ast.JoinedStr | ast.Constant)), scope)
        elif error is not None:
            self.write(error, scope)
        self.text.append("Raise,")

    def _attribute(self, node: ast.Attribute, scope: Scope | None) -> None:
        attributes: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            attributes.append(root.attr)
            root = root.value
        attributes.reverse()
        self.attributes.update(attributes)
        if isinstance(root, ast.Name):
            self._name(root, tuple(attributes), scope)
        else:
            self.write(root, scope)
            self.text.append("".join(f".{one}" for one in attributes) + ",")

    def _name(self, node: ast.Name, attributes: tuple[str, ...], scope: Scope | None) -> None:
        imports = scope.find(node.id) if scope else None
        is_defined_here = scope is None and not isinstance(node.ctx, ast.Load)
        is_plain = imports == () or is_defined_here
        found = [] if is_plain else self.resolve(imports, node.id, attributes)
        if not found:
            self.text.append(".".join((node.id, *attributes)))
        for one in found:
            if isinstance(one.target, str):
                self.text.append(f"<{one.target}>")
            else:
                self.text.append(HOLE)
                self.references.append(one.target)
            self.text.append("".join(f".{name}" for name in one.rest))
        self.text.append(",")

    def _all(self, nodes: Iterable[ast.AST], scope: Scope | None) -> None:
        for node in nodes:
            before = len(self.text)
            self.write(node, scope)
            if len(self.text) > before:
                self.text.append(";")

    def _node(self, kind: str, fields: list[tuple[str, object]], scope: Scope | None) -> None:
        """Any other node; empty fields are left out, since Python versions differ in which of those they have."""
        self.text.append(f"{kind}(")
        for name, value in fields:
            if name in _SILENT or value is None or value == []:
                continue
            self.text.append(f"{name}=")
            if isinstance(value, ast.AST):
                self.write(value, scope)
            elif isinstance(value, list):
                self._list(value, scope)
            else:
                self.text.append(f"{value!a},")
        self.text.append(")")

    def _list(self, values: list[object], scope: Scope | None) -> None:
        self.text.append("[")
        for value in values:
            if isinstance(value, ast.AST):
                self._all([value], scope)
            else:
                self.text.append(f"{value!a},")  # a name, or None for the ** of a dict
        self.text.append("]")


def _bound_by(line: ast.stmt) -> Iterable[str]:
    match line:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [line.name]
        case ast.Assign():
            return [one.id for one in line.targets if isinstance(one, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []
