"""Digests of weight files, and the rule that weights are safetensors."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmfs.errors import ModelError
from mmfs.ids import digest

_SAFE = ".safetensors"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def files_digest(paths: list[Path]) -> str:
    """SHA-256 over the names and bytes of files. Bytes are read once for each path, size and change time."""
    parts: list[str] = []
    for path in sorted(paths):
        stat = path.stat()
        parts += [path.name, _file_digest(str(path), stat.st_size, stat.st_mtime_ns)]
    return digest(*parts)


@lru_cache(maxsize=256)
def _file_digest(path: str, _size: int, _mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safetensors_in(directory: Path, *, where: str, preferred: tuple[str, ...] = ()) -> list[Path]:
    """The weight files of a model directory: the first preferred name that exists, else all safetensors files.

    Args:
        where: The setting that named the directory, for the error.

    Raises:
        ModelError: There are no safetensors files; pickled weights are refused.
    """
    for name in preferred:
        if (directory / name).is_file():
            return [directory / name]
    found = sorted(directory.glob(f"*{_SAFE}"))
    if found:
        return found
    pickled = sorted(path.name for path in directory.glob("*") if path.suffix in _PICKLED)
    if pickled:
        raise refused(str(directory / pickled[0]), where=where)
    raise ModelError(f"{directory} holds no weights", where=where, mend=f"put a {_SAFE} file there")


def require_safetensors(path: Path, *, where: str) -> None:
    """Refuse weights in any other format: loading a pickle runs whatever code it holds.

    Raises:
        ModelError: The file is not named as a safetensors file.
    """
    if path.suffix != _SAFE:
        raise refused(str(path), where=where)


def refused(what: str, *, where: str) -> ModelError:
    """The error for pickled weights."""
    return ModelError(
        f"{what} is not safetensors, and loading a pickle could run any code",
        where=where,
        mend="convert it to safetensors once, on a machine you can lose, or choose another model",
    )


def require_finite(model: Any, *, where: str) -> None:
    """Refuse a torch module with a NaN or an infinity among its weights.

    Raises:
        ModelError: Some weight is not finite; it is named.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelError(
                f"weight {name} holds NaN or infinity", where=where, mend="the file is damaged: fetch or train it again"
            )
