"""The source of a class or function in a normal form, in which comments, docstrings and layout do not count."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from mmfs.errors import FeatureError


def normal_source(thing: Any) -> str:
    """The syntax tree of a class or function as text, without comments, docstrings and decorators.

    Equal text means equal code; the text is the same under every supported version of Python.

    Raises:
        FeatureError: The source is not in a file.
    """
    try:
        source = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError) as error:
        raise FeatureError(
            f"the source of {thing!r} cannot be read", mend="put it in a module (.py file) that can be imported"
        ) from error
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            node.body = _without_docstring(node.body)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
    return _text(tree)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _text(value: Any) -> str:
    """Like ``ast.dump``, but empty fields are left out, since Python versions differ in which of those they have."""
    if isinstance(value, ast.AST):
        fields = ((name, part) for name, part in ast.iter_fields(value) if part is not None and part != [])
        return f"{type(value).__name__}({','.join(f'{name}={_text(part)}' for name, part in fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return repr(value)
