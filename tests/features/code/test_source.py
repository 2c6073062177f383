"""The normal form of code."""

from __future__ import annotations

import ast

import pytest

from mmfs.features.code.scopes import Imported
from mmfs.features.code.source import HOLE, OUR_ERROR, CountedClass, NormalForm, Reference, normal_form


def _form(source: str) -> NormalForm[int]:
    """With ``helper`` known as other code that counts, ``np`` as numpy and ``OurError`` as an exception of mmfs."""

    def resolve(imports: tuple[Imported, ...] | None, name: str, attributes: tuple[str, ...]) -> list[Reference[int]]:
        match name:
            case "helper":
                return [Reference(7, attributes)] if imports is None else []
            case "np":
                return [Reference(".".join(("numpy", *attributes)))]
            case "OurError":
                return [Reference(f"{OUR_ERROR}OurError")]
        return []

    def rules(node: ast.ClassDef) -> CountedClass:
        return CountedClass(frozenset({"left_out"}), node.decorator_list, node.bases)

    return normal_form(ast.parse(source).body, resolve, rules)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("def f(x): return x", 'def f(x: "int") -> int:\n    "Doc."\n    return x  # why'),
        ("def f(x): return x", "def f(x):\n    import os, sys\n    pass\n    ...\n    return x"),
        ("x = 1", "x: float = 1"),
        ("def f():\n    a: int\n    a = 1", "def f():\n    a: float = 1"),
        ("if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 2", "x = 2"),
        ("raise ValueError('a')", "raise ValueError(f'{b}') from error"),
        ("raise OurError(message(x), mend=x)", "raise OurError('a')"),
        ("assert x, 'a'", "assert x, b()"),
        ("class A:\n    def left_out(self): return 1", "class A:\n    left_out = 2"),
        ("x = 'ab'", "x = ('a'  'b')"),
    ],
)
def test_what_does_the_same_has_one_form(one: str, two: str) -> None:
    assert _form(one).text.rstrip(";") == _form(two).text.rstrip(";")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("def f(a, b): ...", "def f(b, a): ..."),
        ("def f(*a): ...", "def f(*, a): ..."),
        ("def f(a, /): ...", "def f(a): ..."),
        ("def f(a=1, *, b): ...", "def f(a, *, b=1): ..."),
        ("def f(): ...", "async def f(): ..."),
        ("lambda: x", "lambda x: x"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = '1'", "x = b'1'"),
        ("a.b(c)", "a.b.c()"),
        ("a().b", "a.b()"),
        ("(a, b)", "[a, b]"),
        ("{**a}", "{a: a}"),
        ("f(**a)", "f(*a)"),
        ("x[1:2]", "x[1, 2]"),
        ("[a for a in b for c in d]", "[a for c in d for a in b]"),
        ("f'{x}'", "f'{x!r}'"),
        ("del x", "x"),
        ("a = b = c", "a = c\nb = c"),
        ("raise ValueError(x)", "raise ValueError(y)"),
        ("class A:\n    x = 1", "class A:\n    x: int = 1"),
        ("try:\n    a\nexcept B:\n    c", "try:\n    a\nfinally:\n    c"),
        ("def f():\n    global a\n    a = 1", "def f():\n    a = 1"),
        ("np.add(x)", "np.subtract(x)"),
    ],
)
def test_what_does_something_else_has_another_form(one: str, two: str) -> None:
    assert _form(one).text != _form(two).text


@pytest.mark.parametrize(
    "source",
    [
        "helper(x)",
        "@helper\ndef f(): ...",
        "def f(x=helper): ...",
        "def f():\n    return lambda x: [helper(y) for y in x]",
        "def f():\n    def g(helper): ...\n    return helper",
        "def f():\n    global helper\n    helper = helper + 1",
        "class A:\n    helper = staticmethod(helper)",
        "class A(helper): ...",
        "[helper for helper in helper]",
        "f'{helper}'",
        "match x:\n    case 1 if helper: ...",
    ],
)
def test_a_name_that_is_not_local_is_a_reference(source: str) -> None:
    form = _form(source)
    assert form.references
    assert form.text.count(HOLE) == len(form.references)


@pytest.mark.parametrize(
    "source",
    [
        "def f(helper): return helper",
        "def f(*helper): return helper",
        "lambda helper: helper",
        "def f():\n    helper = 1\n    return helper",
        "def f():\n    for helper in x: helper",
        "def f():\n    with x as helper: helper",
        "def f():\n    try: ...\n    except E as helper: helper",
        "def f():\n    match x:\n        case [helper]: helper",
        "def f():\n    match x:\n        case {'a': 1, **helper}: helper",
        "def f():\n    def helper(): ...\n    return helper()",
        "def f():\n    [(helper := y) for y in x]\n    return helper",
        "def f():\n    helper = 1\n    def g():\n        nonlocal helper\n        helper = 2",
        "def f():\n    import helper\n    return helper",
        "[helper for helper in x]",
        "x.helper",
        "x: helper = 1",
        "def f(x: helper) -> helper: ...",
        "f(helper=1)",
    ],
)
def test_a_local_name_an_attribute_or_an_annotation_is_no_reference(source: str) -> None:
    assert not _form(source).references


def test_attributes_taken_are_listed_and_texts_that_could_be_such_names() -> None:
    assert _form("a.b.c(getattr(x, 'd')).e; 'not a name'").attributes == {"b", "c", "d", "e"}
