"""Which code counts for a feature, and which does not."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.errors import FeatureError
from mmfs.features.code.reach import reach_of, reached
from mmfs.features.feature import Feature, Scalar, feature
from tests.features.code.lab import FILES, edited, load, reach_in

_IN_TMP = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: In the lab, numbers from 11 on count, those down from 99 do not.
_COUNTED = sorted({int(one) for text in FILES.values() for one in re.findall(r"\b[1-4]\d\b", text)})
_UNCOUNTED = sorted({int(one) for text in FILES.values() for one in re.findall(r"\b[89]\d\b", text)})


def _with_number(number: int) -> dict[str, str]:
    [text] = [text for text in FILES.values() if re.search(rf"\b{number}\b", text)]
    assert len(re.findall(rf"\b{number}\b", text)) == 1
    return {path: re.sub(rf"\b{number}\b", f"{number}000", text) for path, text in FILES.items()}


@pytest.mark.parametrize("number", _COUNTED)
def test_every_number_in_code_that_is_reached_counts(tmp_path: Path, number: int) -> None:
    assert reach_in(tmp_path, _with_number(number)).digest != reach_in(tmp_path).digest


@pytest.mark.parametrize("number", _UNCOUNTED)
def test_no_number_in_other_code_counts(tmp_path: Path, number: int) -> None:
    assert reach_in(tmp_path, _with_number(number)).digest == reach_in(tmp_path).digest


def test_the_lab_shows_many_ways_to_reach_code() -> None:
    assert list(range(11, 48)) == _COUNTED
    assert len(_UNCOUNTED) >= 15


def test_what_is_reached_can_be_listed(tmp_path: Path) -> None:
    names = reached(load(tmp_path))
    assert names == tuple(sorted(names))
    assert {"lab.mine:Mine", "lab.mine:Base", "lab.mine:TABLE", "lab.helpers:called", "lab.helpers:kept"} <= set(names)
    assert not {"lab.mine:unrelated", "lab.mine:fetched", "lab.errors:LabError", "lab.annotations:Only"} & set(names)
    assert all(name.startswith("lab.") for name in names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import lab.by_module as by_module\n", "from lab import by_module\n"),
        ("import lab.by_module as by_module\n", "from . import by_module\n"),
        ("from .relative import near\n", "from lab.relative import near\n"),
        ("import numpy as np\n", "import numpy\nnp = numpy\n"),
        ("from functools import partial\n", ""),
        ("from mmfs import Feature, Scalar, feature\n", "from mmfs.features.feature import Feature, Scalar, feature\n"),
        ("def unrelated(x):\n    return x + 99\n\n", ""),
        ("SCALE: float = 15", "SCALE = 15"),
        ("    def prepare(self, batch: Only) -> Only:", "    def prepare(self, batch):"),
        ("def late(x, y=46):", "def late(x: int, y: float = 46) -> float:"),
        ('    """Of a helper class, what is named."""\n', ""),
        (
            'table="lab", grain="frame", inputs=["frames.image"]',
            'table="other", grain="media", inputs=["raw_media.uri"]',
        ),
        ("from .deep import up\n", "from lab.sideways import up\n"),
    ],
)
def test_how_it_is_written_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    files = edited(old, new)
    if old.startswith("from functools"):
        files = edited("return partial(", "import functools\n            return functools.partial(", files)
    if old.startswith("import numpy"):
        files = edited("np = numpy\n", "", edited("np.clip", "numpy.clip", files))
    assert reach_in(tmp_path, files).digest == reach_in(tmp_path).digest


def test_the_order_of_definitions_does_not_count(tmp_path: Path) -> None:
    tree = ast.parse(FILES["helpers.py"])
    first = [node for node in tree.body if isinstance(node, ast.ImportFrom) or getattr(node, "name", "") == "kept"]
    rest = [node for node in tree.body if node not in first]
    tree.body = [*first, *reversed(rest)]
    assert reach_in(tmp_path, {**FILES, "helpers.py": ast.unparse(tree)}).digest == reach_in(tmp_path).digest


def test_a_helper_may_move_to_another_module(tmp_path: Path) -> None:
    moved = edited("return up(x) + 42\n", "return up(x) + 42\n\ndef plain(x):\n    return x + 16\n")
    moved = edited(
        'def plain(x):\n    """Called by name."""\n    return x + 16\n\n', "from lab.relative import plain\n", moved
    )
    assert reach_in(tmp_path, moved).digest == reach_in(tmp_path).digest


_TWO = {
    "__init__.py": "",
    "one.py": "def scale(x):\n    return x + STEP\n\nSTEP = 1\n",
    "two.py": "def scale(x):\n    return x + STEP\n\nSTEP = 2\n",
    "mine.py": """
from mmfs import Feature, Scalar, feature
from lab.one import scale as first
from lab.two import scale as second

@feature(table="lab", grain="frame", inputs=["frames.image"])
class Mine(Feature):
    outputs = {"value": Scalar()}

    def compute(self, batch):
        return {"value": first(batch) - second(batch)}
""",
}


def test_helpers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    swapped = edited("lab.THIS", "lab.two", edited("lab.two", "lab.one", edited("lab.one", "lab.THIS", _TWO)))
    assert reach_in(tmp_path, swapped).digest != reach_in(tmp_path, _TWO).digest


def test_another_function_under_the_same_name_counts(tmp_path: Path) -> None:
    one = edited("import scale as first", "import scale as second", edited("import scale as second", "import X", _TWO))
    swapped = edited("import X", "import scale as first", one)
    assert reach_in(tmp_path, swapped).digest != reach_in(tmp_path, _TWO).digest


@pytest.mark.parametrize("library", ["numpy.maximum", "numpy.minimum"])
def test_another_function_of_a_library_counts(tmp_path: Path, library: str) -> None:
    module, _, name = library.rpartition(".")
    files = edited("from lab.two import scale as second", f"from {module} import {name} as second", _TWO)
    plain = edited("from lab.two import scale as second", "from numpy import add as second", _TWO)
    assert reach_in(tmp_path, files).digest != reach_in(tmp_path, plain).digest


def test_imports_in_a_circle_end(tmp_path: Path) -> None:
    files = {
        **_TWO,
        "one.py": "from lab.two import scale, other\n",
        "two.py": "from lab.one import *\n\ndef scale(x):\n    return other(x)\n\nclass other(other):\n    pass\n",
        "mine.py": _TWO["mine.py"].replace("as second", "as second\nfrom lab.one import nowhere"),
    }
    names = _reach_unimported(tmp_path, files)
    assert "lab.two:scale" in names


def _reach_unimported(folder: Path, files: dict[str, str]) -> tuple[str, ...]:
    """What is reached where the modules cannot even be imported: imported with others, then exchanged."""
    cls = load(folder, _TWO)
    home = Path(sys.modules["lab"].__file__ or "").parent
    for path, text in files.items():
        (home / path).write_text(text)
    return reached(cls)


def test_modules_are_read_and_not_imported(tmp_path: Path) -> None:
    files = edited("return {", "from lab.never import late\n        return late or {", _TWO)
    files["never.py"] = "raise SystemExit('imported')\nlate = 1\n"
    before = reach_in(tmp_path, files)
    assert "lab.never:late" in before.names
    assert "lab.never" not in sys.modules
    assert reach_in(tmp_path, edited("late = 1", "late = 2", files)).digest != before.digest


def test_a_namespace_package_is_a_package(tmp_path: Path) -> None:
    files = {
        "space/" + path: text.replace("lab.", "lab.space.") for path, text in _TWO.items() if path != "__init__.py"
    }
    names = reach_in(tmp_path, files, name="lab.space.mine").names
    assert names == (
        "lab.space.mine:Mine",
        "lab.space.one:STEP",
        "lab.space.one:scale",
        "lab.space.two:STEP",
        "lab.space.two:scale",
    )


def _offset(x: int) -> int:
    return x + _STEP


_STEP = 5


class _Table:
    def looked_up(self, x: int) -> int:
        return _offset(x)

    def never(self, x: int) -> int:
        return _unused(x)


def _unused(x: int) -> int:
    return x


def test_what_a_class_in_a_function_uses_is_found_around_it() -> None:
    local_step = 3

    def local_helper(x: int) -> int:
        return x + local_step

    @feature(table="inner", grain="frame", inputs=["frames.time_s"])
    class Inner(Feature):
        outputs = {"value": Scalar()}

        def compute(self, batch):  # type: ignore[no-untyped-def]
            return {"value": local_helper(_offset(1))}

    assert [name.partition(":")[2].rpartition(".")[2] for name in reached(Inner)] == [
        "_STEP",
        "_offset",
        "Inner",
        "local_helper",
        "local_step",
    ]


def test_what_is_depended_on_is_followed_and_a_method_brings_so_much_of_its_class() -> None:
    @feature(table="inner", grain="frame", inputs=["frames.time_s"], depends_on=[_Table.looked_up])
    class Inner(Feature):
        outputs = {"value": Scalar()}

    names = [name.partition(":")[2] for name in reached(Inner)]
    assert {"_Table", "_offset", "_STEP"} < set(names)
    assert "_unused" not in names


def test_a_feature_that_another_one_uses_brings_what_it_declares(tmp_path: Path) -> None:
    files = edited(
        "@feature(table=",
        """
def registered(x):
    return x + 1

NEUTRAL = [first]

@feature(table="other", grain="frame", inputs=["frames.image"], depends_on=(registered,), neutral=[*NEUTRAL, second])
class Other(Feature):
    outputs = {"value": Scalar()}

    def compute(self, batch):
        return {"value": first(batch) + second(batch)}

@feature(table=""",
        _TWO,
    )
    files = edited("first(batch) - second(batch)", "Other().compute(batch)", files)
    names = reach_in(tmp_path, files).names
    assert names == ("lab.mine:Mine", "lab.mine:Other", "lab.mine:registered")


def test_what_has_no_source_is_refused() -> None:
    @feature(table="inner", grain="frame", inputs=["frames.time_s"], depends_on=[len])
    class OfBuiltin(Feature):
        outputs = {"value": Scalar()}

    with pytest.raises(FeatureError, match="cannot be read"):
        reached(OfBuiltin)
    made = type("Made", (Feature,), {"spec": OfBuiltin.spec, "__module__": "nowhere"})
    with pytest.raises(FeatureError, match=r"\.py file"):
        reached(made)


def test_a_library_that_is_depended_on_is_not_followed_through() -> None:
    @feature(table="inner", grain="frame", inputs=["frames.time_s"], depends_on=[ast.unparse])
    class OfLibrary(Feature):
        outputs = {"value": Scalar()}

    modules = {name.partition(":")[0] for name in reached(OfLibrary)}
    assert modules == {__name__, "ast"}


def test_files_are_read_again_only_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = load(tmp_path)
    before = reach_of(cls)
    with monkeypatch.context() as patched:
        patched.setattr("mmfs.features.code.names.parse", None)
        assert reach_of(cls) is before
    path = Path(sys.modules["lab.sibling"].__file__ or "")
    path.write_text("brother = 470\n")
    assert reach_of(cls).digest != before.digest


@_IN_TMP
@given(data=st.data())
def test_no_comment_docstring_or_layout_counts(tmp_path: Path, data: st.DataObject) -> None:
    files = dict(FILES)
    for path in data.draw(st.sets(st.sampled_from(sorted(FILES)), min_size=1)):
        if data.draw(st.booleans()):
            files[path] = ast.unparse(ast.parse(files[path]))
        said = data.draw(st.text("ab \n"))
        files[path] = re.sub('"""[A-Z].*?"""', lambda _, said=said: f'"""{said}."""', files[path])
        lines = files[path].split("\n")
        for place in data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=8)):
            lines[place] += data.draw(st.sampled_from(["  # why", "   ", "\n", "\n    # what\n"]))
        step = " " * data.draw(st.integers(1, 8))
        files[path] = re.sub("(?m)^(?: {4})+", lambda found, step=step: step * (len(found[0]) // 4), "\n".join(lines))
    assert reach_in(tmp_path, files).digest == reach_in(tmp_path).digest


@_IN_TMP
@given(number=st.sampled_from(_COUNTED), to=st.integers(100, 10**6) | st.floats(100, 1e6))
def test_any_other_number_in_reached_code_counts(tmp_path: Path, number: int, to: float) -> None:
    files = {path: re.sub(rf"\b{number}\b", repr(to), text) for path, text in FILES.items()}
    assert reach_in(tmp_path, files).digest != reach_in(tmp_path).digest
