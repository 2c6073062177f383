"""What code a feature's results follow from: its class and the first-party functions, classes and constants it reaches.

Everything is read off the source, and nothing is imported for it. First-party are the packages of the class, of the
features it derives from and of ``depends_on``, and mmfs; a module that is a file alone is first-party alone. Names are
followed through bodies, defaults, decorators, bases, constants and imports. What only a run knows is not seen: a
function looked up by a computed name, a registry filled elsewhere. ``depends_on`` is for those.

Not counted: comments, docstrings, layout, annotations, exceptions and texts of messages, the style of imports, the
place of a definition, libraries, what is ``neutral``, and methods that no counted code names.
"""

from __future__ import annotations

import ast
import inspect
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from mmfs.errors import FeatureError
from mmfs.features.code.members import config_methods, counted_class, declared, is_feature
from mmfs.features.code.modules import Stamp, stamp_of
from mmfs.features.code.names import Names, Thing, unreadable
from mmfs.features.code.source import NormalForm, normal_form
from mmfs.features.feature import Feature
from mmfs.ids import digest

Forms = dict[Thing, NormalForm[Thing]]

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Reach:
    """The code that a feature's results follow from.

    Attributes:
        names: What is reached, as ``module:qualname``, sorted.
        digest: Digest of its content.
        stamps: States of the files that were read.
    """

    names: tuple[str, ...]
    digest: str
    stamps: frozenset[Stamp]


_known: WeakKeyDictionary[type[Feature], Reach] = WeakKeyDictionary()
#: What this process found when it first looked.
_first: WeakKeyDictionary[type[Feature], Reach] = WeakKeyDictionary()


def reached(cls: type[Feature]) -> tuple[str, ...]:
    """Names (``module:qualname``) of all code that counts for a feature, sorted: an edit of any makes rows stale.

    Of a class, methods that no counted code names do not count.

    Raises:
        FeatureError: The source of the class, of a module it uses or of what it depends on cannot be read.
    """
    return reach_of(cls).names


def reach_of(cls: type[Feature]) -> Reach:
    """The code that a feature's results follow from. It is looked for anew only when a file has changed.

    Raises:
        FeatureError: As `reached`.
    """
    known = _known.get(cls)
    if known is None or not all(map(_is_current, known.stamps)):
        known = _known[cls] = _reach(cls)
        _first.setdefault(cls, known)
    return known


def changed_files(cls: type[Feature]) -> list[str]:
    """Files with reached code that are not what they were when this process first looked.

    What was imported before does not change with its file, so that rows would be computed by other code than their
    fingerprint says.
    """
    reach_of(cls)
    return sorted(str(stamp[0]) for stamp in _first[cls].stamps if not _is_current(stamp))


def _reach(cls: type[Feature]) -> Reach:
    bases = [one for one in cls.__mro__ if issubclass(one, Feature) and one is not Feature]
    specs = [one.spec for one in bases if "spec" in vars(one)]
    roots = [_Root.of(one) for one in (*bases, *(one for spec in specs for one in spec.depends_on))]
    own = [root for number, root in enumerate(roots) if number < len(bases) or not root.is_installed]
    packages = frozenset({"mmfs", *(root.module.partition(".")[0] for root in own)})
    names = Names(packages, tuple(dict.fromkeys(root.folder for root in own)))
    neutral = {Thing(*_name(one)) for spec in specs for one in spec.neutral}
    forms, first = _Walk(names, neutral).run(roots)
    labels = _labels(forms)
    return Reach(
        names=tuple(sorted(map(str, forms))),
        digest=digest(labels[first], *sorted(set(labels.values()))),
        stamps=frozenset(names.stamps),
    )


@dataclass(frozen=True)
class _Root:
    """Where following begins: the class, a base or what it depends on.

    Attributes:
        member: A method's name; ``qualname`` is then its class.
    """

    module: str
    qualname: str
    member: str | None
    path: Path

    @classmethod
    def of(cls, one: Any) -> _Root:
        (module, qualname), path = _name(one), _source_file(one)
        owner, _, member = qualname.rpartition(".")
        if owner and not owner.endswith("<locals>") and not isinstance(one, type):  # a method: so much of its class
            return cls(module, owner, member, path)
        return cls(module, qualname, None, path)

    @property
    def folder(self) -> Path:
        """The folder that holds the top-level package or module."""
        depth = self.module.count(".") + (self.path.name == "__init__.py")
        return self.path.parents[depth] if depth < len(self.path.parents) else self.path.parent

    @property
    def is_installed(self) -> bool:
        """Whether it is of a library or of Python itself."""
        is_python = self.path.is_relative_to(sysconfig.get_path("stdlib"))
        return is_python or any(part in _INSTALLED for part in self.path.parts)


@dataclass
class _Walk:
    """Follows names until nothing new is found."""

    names: Names
    neutral: set[Thing]

    def run(self, roots: Sequence[_Root]) -> tuple[Forms, Thing]:
        """The normal forms of what is reached, and the first root."""
        things = [self.names.add(root.module, root.path, root.qualname) for root in roots]
        asked = {root.member for root in roots if root.member}
        named = set(asked)
        while True:
            forms, attributes, neutral = self._follow(things, named)
            if not neutral <= self.neutral:
                self.neutral |= neutral
                named = set(asked)
            elif attributes <= named:
                return forms, things[0]
            else:
                named |= attributes

    def _follow(self, roots: Sequence[Thing], named: set[str]) -> tuple[Forms, set[str], set[Thing]]:
        """What is reached where these attributes are taken; the attributes taken in it, and what it calls neutral."""
        forms: Forms = {}
        attributes, neutral, waiting = set[str](), set[Thing](), list(roots)
        while waiting:
            thing = waiting.pop()
            if thing in forms or thing in self.neutral:
                continue
            space, nodes = self.names.place(thing)
            rules = partial(counted_class, self.names, space, named=named, neutral=self.neutral)
            form = forms[thing] = normal_form(nodes, partial(self.names.resolve, space), rules)
            waiting += form.references
            attributes |= form.attributes
            for node in nodes:
                if isinstance(node, ast.ClassDef) and is_feature(self.names, space, node):
                    neutral |= {one.thing for one in declared(self.names, space, node, "neutral")}
                    waiting += config_methods(self.names, space, node, named)
                    for one in declared(self.names, space, node, "depends_on"):
                        waiting.append(one.owner)
                        attributes.update(one.members)
        return forms, attributes, neutral


def _labels(forms: Forms) -> dict[Thing, str]:
    """A digest of each thing: equal where the things and all that they reach are equal, wherever that is written.

    Each round looks one reference further, until no round tells more things apart (colour refinement). So circles need
    no order, and a helper may move to another module.
    """
    own = {thing: digest(form.text) for thing, form in forms.items()}
    labels = own
    while True:
        finer = {
            thing: digest(own[thing], *(labels.get(one, f"neutral {one.qualname}") for one in form.references))
            for thing, form in forms.items()
        }
        if len(set(finer.values())) == len(set(labels.values())):
            return finer
        labels = finer


def _name(one: Any) -> tuple[str, str]:
    """Module and qualified name of a function or class."""
    if not (hasattr(one, "__module__") and hasattr(one, "__qualname__")):
        raise FeatureError(f"{one!r} has no source of its own", mend="name functions and classes")
    spec = getattr(sys.modules.get(one.__module__), "__spec__", None)
    # A module run by `python -m` is called __main__, and its spec knows better.
    return (spec.name if spec and one.__module__ == "__main__" else one.__module__), one.__qualname__


def _source_file(one: Any) -> Path:
    """The file that a class or function was read from."""
    functions = vars(one).values() if isinstance(one, type) else [inspect.unwrap(one)]
    codes = [part.__code__ for part in functions if inspect.isfunction(part) and part.__module__ == one.__module__]
    # A module can be loaded again from another file under the same name; the code knows its own.
    loaded = getattr(sys.modules.get(one.__module__), "__file__", None)
    for name in (*(code.co_filename for code in codes), loaded):
        if name and name.endswith(".py") and Path(name).is_file():
            return Path(name)
    raise unreadable(repr(one))


def _is_current(stamp: Stamp) -> bool:
    try:
        return stamp_of(Path(stamp[0])) == stamp
    except OSError:
        return False
