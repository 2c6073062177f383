"""One pack's ranges on the node's disk: a sparse file laid out as the pack is, with holes where nobody looked yet.

A row knows the checksum of its bytes, and that proves presence: a hole, a torn write, a flipped bit and a crash all
look like something that was never fetched. So there is no index, and nothing to lock.
"""

from __future__ import annotations

import os
from pathlib import Path

from mmfs.store.checksum import crc32


class PackMirror:
    """The file, open.

    Args:
        path: Where it is, or is to be.

    Raises:
        OSError: It cannot be made.

    Attributes:
        fd: Its descriptor.
    """

    def __init__(self, path: Path) -> None:
        self.fd = -1
        # In a folder that others may write to, a link could lead to any file of ours.
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def read(self, offset: int, length: int, crc: int) -> bytes | None:
        """The bytes of a blob, if they are there."""
        try:
            data = os.pread(self.fd, length, offset)
        except OSError:
            return None  # a broken disk is no reason to stop: the store has them too
        return data if len(data) == length and crc32(data) == crc else None

    def write(self, offset: int, data: bytes) -> None:
        """Keep the bytes of a blob.

        Raises:
            OSError: The disk is full or broken.
        """
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.fd, rest, offset)
            rest, offset = rest[written:], offset + written
