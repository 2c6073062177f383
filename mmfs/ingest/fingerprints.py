"""What the rows of captions and frames depend on, as a hash. A row is fresh while its hash equals today's."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from importlib import resources

from mmfs.codecs import encode_jpeg
from mmfs.ids import digest
from mmfs.settings import FramesConfig

#: Modules that decide which frames there are and what is in them. Those that only refuse files are left out: a file
#: they refuse has no rows.
SAMPLING_MODULES = ("container", "image", "orientation", "picture", "sampling", "timeline", "video")


_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def frames_fingerprint(config: FramesConfig) -> str:
    """The fingerprint of every row of ``frames`` made with this configuration by this code."""
    return digest("frames", config.model_dump_json(), _sampling_code())


def caption_fingerprint(text: str, source: str, language: str | None) -> str:
    """The fingerprint of one row of ``captions``.

    >>> caption_fingerprint("a red ball", "list", None) == caption_fingerprint("a red ball", "list", "en")
    False
    """
    return digest("caption", text, source, language or "")


@cache
def _sampling_code() -> str:
    folder = resources.files("mmfs.media")
    modules = [folder.joinpath(f"{name}.py").read_text("utf-8") for name in SAMPLING_MODULES]
    return digest(*(code_without_comments(source) for source in [*modules, inspect.getsource(encode_jpeg)]))


def code_without_comments(source: str) -> str:
    r"""Python source without comments, docstrings and layout, so that only what it does counts.

    >>> code_without_comments('def f(x):\n    "Doc."\n    return x  # why')
    'def f(x):\n    return x'
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
