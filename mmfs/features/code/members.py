"""Which members of a class count: those of a feature that decide results, and of any class those that code names."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mmfs.features.code.names import FEATURE_MODULE, Names, Space, Thing
from mmfs.features.code.source import CountedClass
from mmfs.features.feature import Feature

#: Members of a feature that never count: their values are in other parts of the fingerprint (outputs, weights, config),
#: or they say where, how fast and how exactly a row is computed, not what comes out.
UNCOUNTED = frozenset(
    {"weights_digest", "fetch_weights", "outputs", "config", "section", "uncounted", "spec"}
    | {"batch_size", "needs_gpu", "tolerance"}
)
#: Members that others call: for messages, and to refuse a run. They count where the feature's own code names them.
_ASKED_BY_OTHERS = frozenset({"is_demo", "model_name", "check_inputs"})
_HOOKS = frozenset(vars(Feature)) - _ASKED_BY_OTHERS
#: Decorators after which a method is still called by its name alone.
_QUIET = frozenset({"property", "cached_property", "staticmethod", "classmethod", "abstractmethod", "setter"})
_QUIET |= {"cache", "lru_cache", "contextmanager", "override", "inference_mode", "no_grad"}
#: Modules whose classes call no methods of their subclasses but those written ``__so__``.
_QUIET_MODULES = ("abc", "enum", "typing", "collections.abc", FEATURE_MODULE)
_FEATURE, _DECORATOR = f"{FEATURE_MODULE}.Feature", f"{FEATURE_MODULE}.feature"


def counted_class(
    names: Names, space: Space, node: ast.ClassDef, *, named: Collection[str], neutral: Collection[Thing]
) -> CountedClass:
    """What counts of a class: its body but for some members, its decorators and its bases.

    A method counts where an attribute of its name is taken in counted code, whatever of. In classes that derive from
    a library's, which calls methods by names of its own, every method counts.

    Args:
        named: Attributes taken in counted code.
        neutral: What the feature declares as neutral.
    """
    unnamed = set() if _is_called_by_library(names, space, node) else set(_plain_methods(node))
    unnamed.difference_update(named)
    refused = {one.qualname.rpartition(".")[2] for one in neutral if _is_member(one, space, node)}
    if not is_feature(names, space, node):
        # A plain class may be a feature's mixin, whose hooks nobody names.
        return CountedClass(frozenset(refused | (unnamed - _HOOKS)), node.decorator_list, node.bases)
    return CountedClass(
        uncounted=frozenset(refused | UNCOUNTED | (unnamed - _HOOKS) | _ASKED_BY_OTHERS.difference(named)),
        decorators=[one for one in node.decorator_list if not _is_declaration(names, space, one)],
        bases=[one for one in node.bases if _FEATURE not in _targets(names, space, one)],
    )


def is_feature(names: Names, space: Space, node: ast.ClassDef) -> bool:
    """Whether a class derives from Feature."""
    return any(one == _FEATURE for one in _ancestors(names, space, node))


def config_methods(names: Names, space: Space, node: ast.ClassDef, named: Collection[str]) -> list[Thing]:
    """Methods of a feature's config, and of what it derives from, that code names.

    Of a config that is an annotation alone nothing else counts: its values are in another part of the fingerprint.
    """
    annotations = [
        one.annotation for one in node.body if isinstance(one, ast.AnnAssign) and _bare(one.target) == "config"
    ]
    found: list[Thing] = []
    waiting = [(space, one) for one in annotations]
    while waiting:
        around, annotation = waiting.pop()
        for owner in (one for one in _targets(names, around, annotation) if isinstance(one, Thing)):
            definition = names.definition(owner)
            if isinstance(definition, ast.ClassDef):
                asked = (one for one in _plain_methods(definition) if one in named)
                found += [names.add_member(owner, name) for name in asked]
                waiting += [(names.place(owner)[0], base) for base in definition.bases]
    return found


@dataclass(frozen=True)
class Declared:
    """An entry of ``depends_on`` or ``neutral``: ``owner``, or a member of it."""

    owner: Thing
    members: tuple[str, ...]

    @property
    def thing(self) -> Thing:
        """The entry itself."""
        return Thing(self.owner.module, ".".join((self.owner.qualname, *self.members)))


def declared(names: Names, space: Space, node: ast.ClassDef, argument: str) -> list[Declared]:
    """What the decorator that declares a feature lists, as far as it is written in lists of names."""
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and _is_declaration(names, space, call):
            return [one for key in call.keywords if key.arg == argument for one in _listed(names, space, key.value, ())]
    return []


def _listed(names: Names, space: Space, node: ast.expr, seen: tuple[Thing, ...]) -> Iterator[Declared]:
    match node:
        case ast.List() | ast.Tuple() | ast.Set():
            for part in node.elts:
                yield from _listed(names, space, part, seen)
        case ast.Starred():
            yield from _listed(names, space, node.value, seen)
        case ast.BinOp():
            yield from _listed(names, space, node.left, seen)
            yield from _listed(names, space, node.right, seen)
        case _:
            for found in names.resolve_expression(space, node):
                thing = found.target
                if not isinstance(thing, Thing) or thing in seen:
                    continue
                if names.definition(thing):
                    yield Declared(thing, found.rest)
                    continue
                around, nodes = names.place(thing)
                for one in nodes:
                    if isinstance(one, ast.Assign | ast.AnnAssign) and one.value:
                        yield from _listed(names, around, one.value, (*seen, thing))


def _is_declaration(names: Names, space: Space, decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and _DECORATOR in _targets(names, space, decorator.func)


def _targets(names: Names, space: Space, node: ast.expr) -> list[Thing | str]:
    while isinstance(node, ast.Subscript):  # Generic[T]
        node = node.value
    return [one.target for one in names.resolve_expression(space, node)]


def _plain_methods(node: ast.ClassDef) -> Iterator[str]:
    """Methods that are called by name, if at all."""
    for line in node.body:
        if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
            is_special = line.name.startswith("__") and line.name.endswith("__")
            if not is_special and all(_last_name(one) in _QUIET for one in line.decorator_list):
                yield line.name


def _last_name(decorator: ast.expr) -> str | None:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.attr if isinstance(node, ast.Attribute) else _bare(node)


def _bare(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _is_called_by_library(names: Names, space: Space, node: ast.ClassDef) -> bool:
    return any(one.rpartition(".")[0] not in _QUIET_MODULES for one in _ancestors(names, space, node))


def _ancestors(names: Names, space: Space, node: ast.ClassDef) -> Iterator[str]:
    """Full names of the classes of libraries that a class derives from; ``?.?`` for what a call returns."""
    for base in node.bases:
        if not isinstance(base, ast.Name | ast.Attribute | ast.Subscript):
            yield "?.?"
        for target in _targets(names, space, base):
            if isinstance(target, str):
                yield target
                continue
            definition = names.definition(target)
            if isinstance(definition, ast.ClassDef) and definition is not node:
                yield from _ancestors(names, names.place(target)[0], definition)


def _is_member(one: Thing, space: Space, node: ast.ClassDef) -> bool:
    return one.module == space.module and one.qualname.rpartition(".")[0] == f"{space.prefix}{node.name}"
