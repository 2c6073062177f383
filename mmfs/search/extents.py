"""Files full of holes: which stretches of them were ever written, and their bytes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

#: Offset and length of each stretch.
Extents = tuple[tuple[int, int], ...]
_PIECE_BYTES = 8 << 20


def written(path: Path) -> Extents:
    """The stretches of a file that were ever written.

    Raises:
        OSError: The disk cannot tell.
    """
    found, end = [], 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break  # nothing but a hole is left
                raise
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, end - start))
    return tuple(found)


def pieces(file: IO[bytes], start: int, length: int) -> Iterator[bytes]:
    """The bytes of a stretch, a few MiB at a time.

    Raises:
        EOFError: The file ends within it.
    """
    file.seek(start)
    while length:
        piece = file.read(min(length, _PIECE_BYTES))
        if not piece:
            raise EOFError(f"{file.name} ends {length:,} bytes before a stretch that was written")
        length -= len(piece)
        yield piece


def written_bytes(path: Path, extents: Extents) -> Iterator[bytes]:
    """The bytes of all these stretches of a file, one after the other, a few MiB at a time.

    Raises:
        EOFError: The file ends within one.
    """
    with path.open("rb") as file:
        for start, length in extents:
            yield from pieces(file, start, length)


def written_sha256(path: Path, extents: Extents) -> str:
    """SHA-256 of the bytes of all these stretches of a file, as hex. Raises EOFError as `written_bytes` does."""
    state = hashlib.sha256()
    for piece in written_bytes(path, extents):
        state.update(piece)
    return state.hexdigest()
