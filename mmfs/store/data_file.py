"""One Parquet file of a table, and what its name tells."""

from __future__ import annotations

from dataclasses import dataclass


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
