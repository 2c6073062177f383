"""What names in first-party modules stand for, found in their source alone: nothing is imported for it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmfs.errors import FeatureError
from mmfs.features.code.modules import Bindings, Stamp, bindings_of, find_module, function_bindings, is_module, parse
from mmfs.features.code.scopes import Imported
from mmfs.features.code.source import ERROR, OUR_ERROR, Reference

FEATURE_MODULE = "mmfs.features.feature"
_ERRORS = "mmfs.errors"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, order=True)
class Thing:
    """A function, class or constant of a first-party module."""

    module: str
    qualname: str

    def __str__(self) -> str:
        return f"{self.module}:{self.qualname}"


@dataclass(frozen=True)
class Space:
    """A body in which names are bound: a module, or a function with what is around it.

    Attributes:
        module: Name of the module.
        package: Name that relative imports start from.
        prefix: What stands before names in their qualified names.
        bindings: What binds its names.
        outer: The space around a function.
    """

    module: str
    package: str
    prefix: str
    bindings: Bindings
    outer: Space | None = None


@dataclass
class Names:
    """Looks names up in the modules of some packages.

    Attributes:
        packages: Names of the first-party packages.
        near: Folders to look in for those that are not imported.
        stamps: States of the files that were read.
    """

    packages: frozenset[str]
    near: tuple[Path, ...]
    stamps: set[Stamp] = field(default_factory=set)
    _modules: dict[str, Space | None] = field(default_factory=dict)
    _places: dict[Thing, tuple[Space, list[ast.AST]]] = field(default_factory=dict)
    _errors: dict[Thing, bool] = field(default_factory=dict)

    def place(self, thing: Thing) -> tuple[Space, list[ast.AST]]:
        """Where a thing is, and the statements that make it."""
        return self._places[thing]

    def definition(self, thing: Thing) -> Definition | None:
        """The one function or class that a thing is; None for others."""
        nodes = self._places[thing][1]
        return nodes[-1] if nodes and isinstance(nodes[-1], Definition) else None

    def add(self, module: str, path: Path, qualname: str) -> Thing:
        """A thing by name, whatever its package.

        Raises:
            FeatureError: The source has no such thing.
        """
        space = self._module(module, path)
        bindings, parts = space.bindings, qualname.split(".")
        for number, name in enumerate(parts[:-1]):
            node = next((one for one in reversed(bindings.names.get(name, [])) if isinstance(one, Definition)), None)
            if isinstance(node, ast.ClassDef):
                bindings = bindings_of(node.body)
            elif node is not None:
                bindings = function_bindings(node)
                prefix = ".".join((*parts[: number + 1], "<locals>", ""))
                space = Space(module, space.package, prefix, bindings, space)
        nodes = [one for one in bindings.names.get(parts[-1], []) if not isinstance(one, Imported)]
        if not nodes:
            raise unreadable(f"{module}.{qualname}")
        thing = Thing(module, qualname)
        self._places.setdefault(thing, (space, nodes))
        return thing

    def add_member(self, owner: Thing, name: str) -> Thing:
        """A method of a class, as a thing of its own."""
        space, _ = self._places[owner]
        thing, node = Thing(owner.module, f"{owner.qualname}.{name}"), self.definition(owner)
        body = node.body if node else []
        self._places[thing] = (space, [one for one in body if isinstance(one, Definition) and one.name == name])
        return thing

    def resolve(
        self, space: Space, imports: tuple[Imported, ...] | None, name: str, attributes: tuple[str, ...]
    ) -> list[Reference[Thing]]:
        """What a name stands for; nothing for builtins and values that only a run knows.

        Args:
            space: Where the name is used.
            imports: What a function around it imports it from.
            attributes: Attributes taken from the name.
        """
        if imports:
            return _unique(one for imported in imports for one in self._imported(space, imported, attributes, ()))
        around: Space | None = space
        while around is not None:
            if found := self._in_space(around, name, attributes, ()):
                return _unique(found)
            if name in around.bindings.opaque:
                return []
            around = around.outer
        return []

    def resolve_expression(self, space: Space, node: ast.expr) -> list[Reference[Thing]]:
        """What ``name`` or ``name.attribute`` stands for; nothing for any other expression."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        return self.resolve(space, None, node.id, tuple(reversed(attributes))) if isinstance(node, ast.Name) else []

    def _in_space(
        self, space: Space, name: str, rest: tuple[str, ...], seen: tuple[Thing, ...]
    ) -> list[Reference[Thing]]:
        thing, found = Thing(space.module, space.prefix + name), list[Reference[Thing]]()
        if thing in seen:
            return []
        bound, seen = space.bindings.names.get(name, []), (*seen, thing)
        nodes = [one for one in bound if not isinstance(one, Imported)]
        if nodes:
            self._places.setdefault(thing, (space, nodes))
            target: Thing | str = thing
            if thing.module == FEATURE_MODULE:
                target = f"{thing.module}.{thing.qualname}"
            elif self._makes_errors(thing):
                target = f"{OUR_ERROR if thing.module == _ERRORS else ERROR}{name}"
            found.append(Reference(target, rest))
        imports = [one for one in bound if isinstance(one, Imported)]
        if not bound and not name.startswith("_"):
            imports = [Imported(star.module, star.level, name) for star in space.bindings.stars]
            imports = [one for one in imports if self._is_first_party(self._absolute(space, one))]
        for imported in imports:
            found += self._imported(space, imported, rest, seen)
        return found

    def _imported(
        self, space: Space, imported: Imported, rest: tuple[str, ...], seen: tuple[Thing, ...]
    ) -> list[Reference[Thing]]:
        path = rest if imported.name is None else (imported.name, *rest)
        return self._member(self._absolute(space, imported), path, seen)

    def _member(self, module: str, path: tuple[str, ...], seen: tuple[Thing, ...]) -> list[Reference[Thing]]:
        if path and self._is_first_party(module):
            space = self._first_party(module)
            if space and (found := self._in_space(space, path[0], path[1:], seen)):
                return found
            if is_module(f"{module}.{path[0]}", self.near):
                return self._member(f"{module}.{path[0]}", path[1:], seen)
        return [Reference(".".join((module, *path)))]

    def _absolute(self, space: Space, imported: Imported) -> str:
        if not imported.level:
            return imported.module
        parts = space.package.split(".")
        return ".".join([*parts[: len(parts) - imported.level + 1], *filter(None, [imported.module])])

    def _is_first_party(self, module: str) -> bool:
        return module.partition(".")[0] in self.packages

    def _first_party(self, module: str) -> Space | None:
        path = None if module in self._modules else find_module(module, self.near)
        return self._module(module, path) if path else self._modules.setdefault(module, None)

    def _module(self, name: str, path: Path) -> Space:
        known = self._modules.get(name)
        if known is None:
            try:
                parsed = parse(path)
            except (OSError, SyntaxError) as error:
                raise unreadable(name) from error
            self.stamps.add(parsed.stamp)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            known = self._modules[name] = Space(name, package, "", parsed.bindings)
        return known

    def _makes_errors(self, thing: Thing) -> bool:
        """Whether a thing is an exception class, or a function whose annotation says that it returns one."""
        if thing not in self._errors:
            self._errors[thing] = False  # for a class that seems to derive from itself
            space, node = self._places[thing][0], self.definition(thing)
            bases = node.bases if isinstance(node, ast.ClassDef) else [node.returns] if node and node.returns else []
            self._errors[thing] = any(self._is_error(space, base) for base in bases)
        return self._errors[thing]

    def _is_error(self, space: Space, node: ast.expr) -> bool:
        found = [one.target for one in self.resolve_expression(space, node)]
        if not found and isinstance(node, ast.Name):
            builtin = getattr(builtins, node.id, None)
            return isinstance(builtin, type) and issubclass(builtin, BaseException)
        return any(isinstance(one, str) and one.endswith(("Error", "Exception", "Warning")) for one in found)


def unreadable(name: str) -> FeatureError:
    """The error for code that is not in a file."""
    return FeatureError(
        f"the source of {name} cannot be read", mend="put it in a module (.py file) that can be imported"
    )


def _unique(found: Iterable[Reference[Thing]]) -> list[Reference[Thing]]:
    return list(dict.fromkeys(found))
