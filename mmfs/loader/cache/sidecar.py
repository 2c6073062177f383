"""One Parquet file's rows on the node's disk: a sparse file of fixed-width records that all processes share.

    header   magic, nonce                                 64 bytes
    index    row groups x (there, crc32, texts, length)   32 bytes each, written after what it vouches for
    records  rows x width                                 from the next page on, holes where nobody looked yet
    texts    of row groups, in the order they were made   appended

A row group's records are a pure function of the Parquet file, so it does no harm when two processes write them. The
file never shrinks, so mapping it is safe.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import uuid
from pathlib import Path

from mmfs.loader.cache.folder import PART
from mmfs.schemas import ROW_GROUP_ROWS
from mmfs.store.checksum import crc32

_MAGIC = b"mmfsrow1"
_NONCE = slice(8, 24)
_HEADER_BYTES = 64
_ENTRY = struct.Struct("<IIQQ8x")
_PAGE_BYTES = 4096


class Sidecar:
    """The file, open.

    Args:
        path: Where it is, or is to be.
        rows: Rows of the Parquet file.
        width: Bytes of a record.

    Raises:
        OSError: The disk is full or broken.

    Attributes:
        fd: Its descriptor.
        nonce: Differs for every file that was ever made, even under one name.
        texts_at: By row group: where its texts begin; -1 until it was found to be whole.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        groups = -(-rows // ROW_GROUP_ROWS)
        self._rows, self._width = rows, width
        self._first = -(-(_HEADER_BYTES + groups * _ENTRY.size) // _PAGE_BYTES) * _PAGE_BYTES
        self._end = self._first + max(1, rows * width)
        self.texts_at = [-1] * groups
        self.fd = self._appends = -1
        while self.fd < 0 or self._appends < 0:
            self._open(path)
        self._map = mmap.mmap(self.fd, self._end, prot=mmap.PROT_READ)
        self._texts = self._map
        self.nonce = self._map[_NONCE]
        self.records = memoryview(self._map)[self._first :]

    def __del__(self) -> None:
        self._close()

    def check(self, group: int) -> bool:
        """Whether a row group is there and whole; reads all of it the first time."""
        if self.texts_at[group] >= 0:
            return True
        there, crc, start, length = _ENTRY.unpack(os.pread(self.fd, _ENTRY.size, self._entry(group)))
        if not there or (length and start + length > os.fstat(self.fd).st_size):
            return False
        if crc != self._crc(self.records[self._span(group)], self._text(start, length), start):
            return False
        self.texts_at[group] = start
        return True

    def write(self, group: int, records: memoryview, texts: bytes) -> None:
        """Keep a row group.

        Raises:
            OSError: The disk is full or broken.
        """
        start = self._append(texts) if texts else 0
        span = self._span(group)
        _write(self.fd, records, self._first + span.start)
        entry = _ENTRY.pack(1, self._crc(records, texts, start), start, len(texts))
        _write(self.fd, memoryview(entry), self._entry(group))
        self.texts_at[group] = start

    def text(self, group: int, offset: int, length: int) -> bytes:
        """A text, counted from the beginning of its row group's texts."""
        return self._text(self.texts_at[group] + offset, length)

    def _span(self, group: int) -> slice:
        first = group * ROW_GROUP_ROWS
        return slice(first * self._width, min(first + ROW_GROUP_ROWS, self._rows) * self._width)

    def _entry(self, group: int) -> int:
        return _HEADER_BYTES + group * _ENTRY.size

    def _text(self, start: int, length: int) -> bytes:
        texts = self._texts
        if start + length > len(texts):
            texts = self._texts = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ)
        return texts[start : start + length]

    def _append(self, data: bytes) -> int:
        # One call appends as a whole, wherever the end then is, and leaves the position of this descriptor behind it.
        written = os.write(self._appends, data)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.lseek(self._appends, 0, os.SEEK_CUR) - written

    @staticmethod
    def _crc(records: memoryview, texts: bytes, start: int) -> int:
        return crc32(texts, crc32(records, crc32(start.to_bytes(8, "little"))))

    def _open(self, path: Path) -> None:
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            self._appends = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._close()
            self._make(path)
            return
        status = os.fstat(self.fd)
        is_one = os.path.samestat(status, os.fstat(self._appends))
        if is_one and status.st_size >= self._end and os.pread(self.fd, len(_MAGIC), 0) == _MAGIC:
            return
        self._close()
        if is_one:  # cut short, by something that is not us
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        for descriptor in (self.fd, self._appends):
            if descriptor >= 0:
                os.close(descriptor)
        self.fd = self._appends = -1

    def _make(self, path: Path) -> None:
        staged = path.with_name(f"{uuid.uuid4().hex}{PART}")
        try:
            with staged.open("xb", buffering=0) as file:
                file.truncate(self._end)
                file.write(_MAGIC + uuid.uuid4().bytes)
            os.link(staged, path)
        except FileExistsError:
            pass
        finally:
            staged.unlink(missing_ok=True)


def _write(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written
