"""Small bytes that all processes of a node want: written once under a name, proved by a checksum when read."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from mmfs.ids import digest
from mmfs.loader.cache.folder import PART, SMALL, CacheFolder
from mmfs.store.checksum import crc32

_CRC_BYTES = 4


class SmallFiles:
    """Files of a cache folder by key. Whatever is wrong with one, it is as if it were not there."""

    def __init__(self, cache: CacheFolder) -> None:
        self._cache = cache

    def get(self, key: str) -> bytes | None:
        """The bytes kept under a key."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        body = data[:-_CRC_BYTES]
        return body if crc32(body).to_bytes(_CRC_BYTES, "little") == data[-_CRC_BYTES:] else None

    def put(self, key: str, data: bytes) -> None:
        """Keep bytes, if there is room."""
        target = self._path(key)
        staged = target.with_name(f"{uuid.uuid4().hex}{PART}")
        try:
            staged.write_bytes(data + crc32(data).to_bytes(_CRC_BYTES, "little"))
            os.replace(staged, target)
        except OSError:
            with suppress(OSError):
                staged.unlink(missing_ok=True)
            return
        self._cache.add_written(len(data))

    def _path(self, key: str) -> Path:
        return self._cache.rows / f"{digest('small/1', key)[:32]}{SMALL}"
