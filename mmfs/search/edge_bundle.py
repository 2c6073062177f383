"""What a build directory holds, as a document: its files, and where in a bucket the bytes of each lie.

Such a directory has hundreds of small files and some large ones full of holes; only what was ever written of them is
kept. `edge_transfer.py` sends and fetches them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mmfs.errors import StoreError
from mmfs.search.extents import Extents, written_sha256
from mmfs.search.port import DamagedBuildError
from mmfs.search.refused import REFUSED
from mmfs.store.objects import checked_name

#: Files whose bytes are compared at once.
_AT_ONCE = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class BundledFile:
    """One file of a build directory.

    Attributes:
        path: Its name there.
        size_bytes: Its size, holes included.
        extents: Offset and length of each stretch that was written.
        sha256: Of the bytes of all extents.
        object: Name of the object that holds them, one extent after the other; empty where nothing was written.
        offset: Where in the object they begin.
    """

    path: str
    size_bytes: int
    extents: Extents
    sha256: str
    object: str
    offset: int

    @property
    def stored_bytes(self) -> int:
        """Bytes of all extents."""
        return sum(length for _, length in self.extents)


@dataclass(frozen=True)
class Bundle:
    """A build directory: its files, and its folders, which may be empty."""

    files: tuple[BundledFile, ...]
    folders: tuple[str, ...]

    def to_json(self) -> bytes:
        """The list as a document that holds its own digest."""
        found = asdict(self)
        return json.dumps(found | {"digest": _digest(found)}).encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Bundle:
        """The list that `to_json` wrote. Lists of before it wrote digests are read, too.

        Raises:
            DamagedBuildError: It is damaged.
        """
        try:
            found = json.loads(data)
            digest = found.pop("digest", None)
            if digest not in (None, _digest(found)):
                raise ValueError("its digest is another")
            if found.keys() != {"files", "folders"}:
                raise ValueError(f"its parts are {', '.join(found)}")
            files = tuple(_file(**entry) for entry in found["files"])
            return cls(files, tuple(checked_name(folder) for folder in found["folders"]))
        except (ValueError, KeyError, TypeError, AttributeError, StoreError) as error:
            raise DamagedBuildError(f"the list of a build's files is damaged: {error}", where=where) from error

    def objects(self) -> dict[str, int]:
        """The objects that the files lie in, with the least size that each must have."""
        ends: dict[str, int] = defaultdict(int)
        for file in self.files:
            if file.object:
                ends[file.object] = max(ends[file.object], file.offset + file.stored_bytes)
        return dict(ends)

    def is_whole(self, directory: Path, *, deep: bool) -> bool:
        """Whether every file is there with its size; deep: and with the bytes that were sent.

        Raises:
            OSError: The system refuses to tell.
        """
        if not all(_is_there(directory, file) for file in self.files):
            return False
        if not deep:
            return True
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return all(pool.map(lambda file: _is_same(directory, file), self.files))


def _is_there(directory: Path, file: BundledFile) -> bool:
    try:
        return (directory / file.path).stat().st_size == file.size_bytes
    except OSError as error:
        return _is_lost(error)


def _is_same(directory: Path, file: BundledFile) -> bool:
    try:
        return written_sha256(directory / file.path, file.extents) == file.sha256
    except EOFError:
        return False
    except OSError as error:
        return _is_lost(error)


def _is_lost(error: OSError) -> Literal[False]:
    """False, for a file that the disk lost. Raises the error where the system refuses to tell."""
    if error.errno in REFUSED:
        raise error
    return False


def _digest(document: dict[str, Any]) -> str:
    """SHA-256 of a document, however it is spaced and ordered."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _file(path: str, size_bytes: int, extents: list[list[int]], sha256: str, object: str, offset: int) -> BundledFile:
    """One entry of the list, each part of which is what it should be.

    Raises:
        ValueError, TypeError, StoreError: It is not.
    """
    checked_name(path)  # it is written to where a directory of this machine begins
    if object:
        checked_name(object)
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    stretches = tuple((_number(start), _number(length)) for start, length in extents)
    end = 0
    for start, length in stretches:
        if start < end:
            raise ValueError(f"stretches of {path} overlap")
        end = start + length
    if end > _number(size_bytes):
        raise ValueError(f"{path} ends before what was written of it")
    if stretches and not object:
        raise ValueError(f"no object holds {path}")
    return BundledFile(path, size_bytes, stretches, sha256, object, _number(offset))


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of bytes")
    return value
