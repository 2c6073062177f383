"""One Parquet file of a table, and what its name tells."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mmfs.errors import StoreError
from mmfs.store.objects import Objects

_PIECE_BYTES = 1 << 20
#: The content digest is lacking in names of an older mmfs, the digest of the bytes never.
_NAME = re.compile(r"(?:[0-9a-f]{16}-)?([0-9a-f]{16})-\d+\.parquet")


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table.

    Attributes:
        path: Relative to the store.
        shard: The shard whose rows it holds.
        rows: Number of rows.
        size_bytes: Size of the file.
    """

    path: str
    shard: str
    rows: int
    size_bytes: int

    @property
    def content(self) -> str:
        """Equal for files of a shard with equal rows, wherever the blobs of these lie: what is derived compares it.

        >>> DataFile("frames/shard=000001/0123456789abcdef-fedcba9876543210-4.parquet", "000001", 9, 512).content
        'frames/shard=000001/0123456789abcdef'

        Files of an older mmfs do not carry their digest, and stand for themselves:

        >>> DataFile("frames/shard=000001/fedcba9876543210-4.parquet", "000001", 9, 512).content
        'frames/shard=000001/fedcba9876543210-4.parquet'
        """
        folder, _, name = self.path.rpartition("/")
        parts = name.split("-")
        return f"{folder}/{parts[0]}" if len(parts) == _PARTS else self.path


_PARTS = 3


def data_path(table: str, shard: str, content: str, data: str, number: int) -> str:
    """The name of a data file: by its content, by its bytes, and by how often the shard was replaced before.

    By its bytes, so that two writers of different bytes can never share a file.

    Args:
        content: Content digest of its rows, hex.
        data: SHA-256 of its bytes, hex.
    """
    return f"{table}/shard={shard}/{content[:16]}-{data[:16]}-{number}.parquet"


def is_as_written(objects: Objects, path: str) -> bool | None:
    """Whether a data file holds the bytes that it is named by; None where its name is not one of `data_path`.

    Raises:
        StoreError: It is gone, or cannot be read just now.
    """
    named = _NAME.fullmatch(path.rpartition("/")[2])
    if named is None:
        return None
    found = hashlib.sha256()
    with objects.open_file(path, ahead_bytes=_PIECE_BYTES) as file:
        try:
            while piece := file.read(_PIECE_BYTES):
                found.update(piece)
        except OSError as error:
            raise StoreError(
                f"cannot read {path}: {error.strerror}", where=objects.url, mend="check the disk"
            ) from error
    return found.hexdigest().startswith(named[1])
