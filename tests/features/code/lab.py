"""A package of somebody's own with a feature in it, as text, to edit and read anew."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path

from mmfs.features.code.reach import Reach, reach_of
from mmfs.features.feature import Feature

Files = Mapping[str, str]

FILES: Files = {
    "__init__.py": "from lab.inner import exported\n",
    "mine.py": '''
"""A feature that reaches code in every way that can be read off its source."""
from __future__ import annotations
import logging
from functools import partial
from typing import TYPE_CHECKING
import numpy as np
import lab.by_module as by_module
import lab.deep.below
from lab import exported
from lab.errors import LabError, refusal
from lab.helpers import *
from lab.helpers import called as renamed
from mmfs import Feature, Scalar, feature
from .relative import near
from . import sibling
if TYPE_CHECKING:
    from lab.annotations import Only

LIMIT = 11
TABLE = {"one": lambda x: x + 12, "two": near}
TABLE["three"] = lambda x: x + 13
TABLE.update(four=14)
SCALE: float = 15

def plain(x):
    """Called by name."""
    return x + 16

def unrelated(x):
    return x + 99

def even(x):
    return odd(x - 17)

def odd(x):
    return even(x - 18)

def shadowed(x):
    return x + 98

def fetched(name):
    return f"{name} 97"

def check(x):
    if x > 19:
        raise LabError(f"{x} is above 96")
    if x > 20:
        raise refusal(x)
    assert x, "95"

class Rules:
    """Of a helper class, what is named."""
    base = 21

    def __init__(self, gain: int = 22) -> None:
        self.gain = gain

    def named(self):
        return self._inner() + 23

    def _inner(self):
        return 24

    @property
    def asked(self):
        return 25

    def unnamed(self):
        return 94

class Base(Feature):
    """Base of features."""

    def setup(self, device):
        self.weights = fetched("weights")
        self.rules = Rules()

    def fetch_weights(self):
        fetched(93)

@feature(table="lab", grain="frame", inputs=["frames.image"], neutral=[fetched])
class Mine(Base):
    """The feature."""

    threshold = 26
    section = "ninety-two"
    outputs = {"value": Scalar(description="91")}

    @property
    def is_demo(self):
        return 90

    def weights_digest(self):
        return "89"

    def prepare(self, batch: Only) -> Only:
        from lab.inside import late
        import lab.deep.side as side

        shadowed = batch.get("88x", 27)
        shadowed(28)
        return {"x": late(side.beside(batch))}

    def compute(self, batch):
        def nested(x, by=default_of):
            return partial(in_partial, x + 29)

        check(LIMIT)
        picked = [comprehended(x) for x in batch for odd in x if odd]
        values = TABLE["one"](plain(1)), even(1), renamed(2), by_module.used(3), exported(4), lab.deep.below.far(5)
        own = self.rules.named() + self.rules.asked + self._private(6) + getattr(self, "_quoted")(7)
        return {"value": [values, nested, picked, own, sibling.brother, np.clip(SCALE, 0, 30)]}

    def _private(self, x):
        return x + 31

    def _quoted(self, x):
        return x + 32

    def encode_text(self, texts):
        return called_by_queries(texts, 87)
''',
    "helpers.py": """
from functools import wraps

default_of = 33

def kept(function):
    @wraps(function)
    def inner(*args):
        return function(*args) + 34
    return inner

@kept
def called(x):
    return x + 35

def in_partial(x):
    return x + 36

def comprehended(x):
    return x + 37

def called_by_queries(texts, x):
    return x + 86

def not_called(x):
    return x + 85
""",
    "by_module.py": "def used(x):\n    return x + 38\n\ndef not_used(x):\n    return x + 84\n",
    "inner.py": "try:\n    from lab.fast import exported\nexcept ImportError:\n    exported = lambda x: x + 39\n",
    "fast.py": "if True:\n    def exported(x):\n        return x + 40\nelse:\n    exported = 41\n",
    "relative.py": "from .deep import up\n\ndef near(x):\n    return up(x) + 42\n",
    "deep/__init__.py": "from ..sideways import up\n",
    "deep/below.py": "def far(x):\n    return x + 43\n",
    "deep/side.py": "from .. import inside\n\ndef beside(x):\n    return inside.late(x) + 44\n",
    "sideways.py": "up = lambda x: x + 45\n",
    "inside.py": "def late(x, y=46):\n    return x + y\n",
    "sibling.py": "brother = 47\n",
    "annotations.py": "class Only:\n    value = 83\n",
    "errors.py": """
class LabError(ValueError):
    code = 82

def refusal(x) -> LabError:
    return LabError(f"{x} is refused, see 81")
""",
}

_numbers = itertools.count()


def reach_in(folder: Path, files: Files = FILES, *, name: str = "lab.mine") -> Reach:
    """What the feature ``Mine`` of a module reaches, in a package with these files."""
    return reach_of(load(folder, files, name=name))


def load(folder: Path, files: Files = FILES, *, name: str = "lab.mine") -> type[Feature]:
    """The feature ``Mine`` of a module, imported from these files; what was imported before is forgotten."""
    home = folder / f"home_{next(_numbers)}"
    for path, text in files.items():
        (home / "lab" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "lab" / path).write_text(text)
    for module in [one for one in sys.modules if one.partition(".")[0] == "lab"]:
        del sys.modules[module]
    sys.path.insert(0, str(home))
    try:
        importlib.invalidate_caches()
        found = importlib.import_module(name).Mine
    finally:
        sys.path.remove(str(home))
    assert isinstance(found, type)
    return found


def edited(old: str, new: str, files: Files = FILES) -> dict[str, str]:
    """The files with a text, which stands in one of them once, replaced."""
    [path] = [path for path, text in files.items() if old in text]
    assert files[path].count(old) == 1
    return {**files, path: files[path].replace(old, new)}
