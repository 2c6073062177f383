"""Opening a file so that what is hashed is what is decoded."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mmfs.media.info import Reason, RefusedError
from mmfs.media.sniff import HEAD_BYTES

#: Files up to this size are read once into memory; larger ones are read twice and watched for changes.
_IN_MEMORY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """An open file.

    Attributes:
        data: Seekable bytes, at position 0.
        head: The first `HEAD_BYTES`.
        suffix: Lower-case suffix of the name, dot included; only text files are told by it.
    """

    data: BinaryIO
    head: bytes
    size_bytes: int
    sha256: str
    suffix: str


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open and hash a regular file.

    Raises:
        RefusedError: MISSING, FORBIDDEN (a device, pipe or directory), or CHANGED while it was open.
    """
    try:
        # Non-blocking, because opening a named pipe would otherwise wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise RefusedError(
            Reason.MISSING, f"cannot open the file: {error.strerror}", mend="restore it or its permissions"
        ) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise RefusedError(Reason.FORBIDDEN, "not a regular file", mend="list regular files only")
    with os.fdopen(descriptor, "rb") as file:
        data, sha256 = _read(file, before.st_size)
        head = data.read(HEAD_BYTES)
        data.seek(0)
        yield Source(data, head, before.st_size, sha256, path.suffix.lower())
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise RefusedError(Reason.CHANGED, "the file was written to while it was read", mend="ingest it again")


def _read(file: BinaryIO, size: int) -> tuple[BinaryIO, str]:
    if size <= _IN_MEMORY_BYTES:
        content = file.read(size)
        return BytesIO(content), hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return file, digest.hexdigest()
