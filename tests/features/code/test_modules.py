"""Finding modules, and what binds their names, without importing them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from mmfs.features.code.modules import bindings_of, find_module, is_module, parse
from mmfs.features.code.scopes import Imported


def _bound(source: str, name: str) -> list[str]:
    """The statements that bind a name, as text."""
    found = bindings_of(ast.parse(source).body).names.get(name, [])
    return [repr(one) if isinstance(one, Imported) else ast.unparse(one) for one in found]


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("x = 1", ["x = 1"]),
        ("x, y = 1, 2", ["x, y = (1, 2)"]),
        ("x = 1\nx += 2", ["x = 1", "x += 2"]),
        ("x = {}\nx['a'] = 1\nx.update(b=2)\ny.update(c=x)", ["x = {}", "x['a'] = 1", "x.update(b=2)"]),
        ("x = []\nfor y in z:\n    x.append(y)", ["x = []", "for y in z:\n    x.append(y)"]),
        ("if a:\n    x = 1\n    y = 2\nelse:\n    x = 3", ["a", "x = 1", "a", "x = 3"]),
        ("with a:\n    x = 1", ["x = 1"]),
        ("if __name__ == '__main__':\n    x = 1", []),
        ("if TYPE_CHECKING:\n    x = 1", []),
        ("x: int", []),
        ("import x\nx.y = 1", [repr(Imported("x", 0, None))]),
        ("import x.y", [repr(Imported("x", 0, None))]),
        ("import y.z as x", [repr(Imported("y.z", 0, None))]),
        ("from ..y import z as x", [repr(Imported("y", 2, "z"))]),
        ("try:\n    import x\nexcept ImportError:\n    x = None", [repr(Imported("x", 0, None)), "x = None"]),
        (
            "if TYPE_CHECKING:\n    from y import x\ndef __getattr__(name): ...",
            [repr(Imported("y", 0, "x"))],
        ),
    ],
)
def test_a_name_has_all_statements_that_bind_or_change_it(source: str, bound: list[str]) -> None:
    assert _bound(source, "x") == bound


def test_a_function_has_the_cases_that_are_registered_with_it() -> None:
    source = "@singledispatch\ndef x(y): ...\n@x.register\ndef _(y: int): ..."
    assert len(_bound(source, "x")) == 2


def test_modules_are_found_where_they_would_be_imported_from_and_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "made/space").mkdir(parents=True)
    (tmp_path / "made/__init__.py").write_text("raise SystemExit")
    (tmp_path / "made/space/leaf.py").write_text("raise SystemExit")
    near = [tmp_path]
    assert find_module("made", near) == tmp_path / "made/__init__.py"
    assert find_module("made.space.leaf", near) == tmp_path / "made/space/leaf.py"
    assert find_module("made.space", near) is None
    assert is_module("made.space", near)
    assert not is_module("made.nothing", near)
    assert find_module("mmfs.ids") == Path(sys.modules["mmfs.ids"].__file__ or "")
    assert find_module("sys") is None
    assert "made" not in sys.modules


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("x = 1")
    first = parse(path)
    assert parse(path) is first
    path.write_text("x = 1000")
    assert ast.unparse(parse(path).tree) == "x = 1000"
