"""What rows of captions, frames and windows of sound depend on, as a hash. A row is fresh while it equals today's."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import cache
from importlib import resources

from mmfs.codecs import encode_flac, encode_jpeg
from mmfs.ids import digest
from mmfs.settings import AudioConfig, FramesConfig, Settings

#: Modules that decide which frames there are and what is in them. Those that only refuse files are left out: a file
#: they refuse has no rows.
SAMPLING_MODULES = ("container", "image", "orientation", "picture", "sampling", "timeline", "video")
#: The same of windows of sound. Of the timeline they use no more than where it begins.
SOUND_MODULES = ("container", "downmix", "resample", "sound", "streams", "windows")

_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def frames_fingerprint(config: FramesConfig) -> str:
    """The fingerprint of every row of ``frames`` made with this configuration by this code."""
    return digest("frames", config.model_dump_json(), _media_code(SAMPLING_MODULES, encode_jpeg))


def audio_fingerprint(config: AudioConfig) -> str:
    """The fingerprint of every row of ``audio_windows`` made with this configuration by this code."""
    return digest("audio_windows", config.model_dump_json(), _media_code(SOUND_MODULES, encode_flac))


def decoded_parts(table: str, settings: Settings) -> dict[str, str]:
    """The parts of these fingerprints as a commit records them, so that a later plan can say why rows are stale.

    Args:
        table: ``frames`` or ``audio_windows``.
    """
    if table == "frames":
        config, code = settings.frames.model_dump_json(), _media_code(SAMPLING_MODULES, encode_jpeg)
    else:
        config, code = settings.audio.model_dump_json(), _media_code(SOUND_MODULES, encode_flac)
    return {"fingerprint.config": digest(config), "fingerprint.code": digest(code)}


def caption_fingerprint(text: str, source: str, language: str | None) -> str:
    """The fingerprint of one row of ``captions``.

    >>> caption_fingerprint("a red ball", "list", None) == caption_fingerprint("a red ball", "list", "en")
    False
    """
    return digest("caption", text, source, language or "")


@cache
def _media_code(names: tuple[str, ...], encode: Callable[..., bytes]) -> str:
    folder = resources.files("mmfs.media")
    modules = [folder.joinpath(f"{name}.py").read_text("utf-8") for name in names]
    return digest(*(code_without_comments(source) for source in [*modules, inspect.getsource(encode)]))


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
