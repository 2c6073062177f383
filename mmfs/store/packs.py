"""Packs: immutable, uncompressed tar files that hold the heavy bytes; rows say where in them.

Any WebDataset reader can read a pack from end to end; we read ranges. A pack is named by its content, so writing the
same blobs twice gives the same file.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa

from mmfs.errors import DROP_DAMAGED, IntegrityError, MissingObjectError, StoreError
from mmfs.store.checksum import crc32
from mmfs.store.faults import fault_point
from mmfs.store.objects import Objects

#: A pack that would grow beyond this is closed and another one begun.
PACK_BYTES = 1 << 30
_BLOCK = tarfile.BLOCKSIZE
#: One dot: what is before it is the key of WebDataset, what is after it the kind.
_MEMBER = re.compile(r"[A-Za-z0-9_-]{1,90}\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True)
class BlobRef:
    """Where a blob lies: bytes ``[offset, offset + length)`` of a pack, with their CRC-32."""

    pack: str
    offset: int
    length: int
    crc32: int


class PackWriter:
    """Collects blobs into packs of one shard of one table; nothing is visible before `finish`.

    ```python
    with PackWriter(store.objects, "frames", "000001") as packs:
        packs.add("00ff_000000.jpg", jpeg)
        refs = packs.finish()
    ```

    Args:
        max_bytes: A pack that would grow beyond this is closed and another one begun.
    """

    def __init__(self, objects: Objects, table: str, shard: str, *, max_bytes: int = PACK_BYTES) -> None:
        self._objects = objects
        self._folder = f"packs/{table}/{shard}"
        self._max_bytes = max_bytes
        self._refs: list[tuple[int, int, int, int]] = []  # pack number, offset, length, crc32
        self._packs: list[str] = []
        self._names: set[str] = set()
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, name: str, data: bytes) -> int:
        """Append a blob; its index in the references that `finish` returns.

        Args:
            name: Name of the tar member, ``<key>.<kind>``: the key without dots, unique in the shard.

        Raises:
            StoreError: The name is no such name, or was used before.
        """
        if not _MEMBER.fullmatch(name) or name in self._names:
            raise StoreError(f"{name!r} cannot name a blob", where=self._folder, mend="use a new <key>.<kind>, one dot")
        padded = -len(data) % _BLOCK
        if self._file and self._size + _BLOCK + len(data) + padded > self._max_bytes:
            self._publish()
        self._names.add(name)
        header = tarfile.TarInfo(name)
        header.size = len(data)
        header.mode = 0o644
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        self._refs.append((len(self._packs), self._size, len(data), crc32(data)))
        self._write(data)
        self._write(bytes(padded))
        return len(self._refs) - 1

    def finish(self) -> list[BlobRef]:
        """Publish the packs; where each blob lies, in the order they were added."""
        if self._file:
            self._publish()
        return [BlobRef(self._packs[number], *rest) for number, *rest in self._refs]

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = _unfinished(self._objects)
        try:
            self._file.write(data)
        except OSError as error:
            raise StoreError(
                f"cannot write a pack of {self._folder} beyond {self._size:,} bytes: {error.strerror}",
                where=self._objects.url,
                mend="free space and run again",
            ) from error
        self._hash.update(data)
        self._size += len(data)

    def _publish(self) -> None:
        self._write(bytes(2 * _BLOCK))  # end of a tar
        assert self._file is not None
        path = f"{self._folder}/{self._hash.hexdigest()[:32]}.tar"
        self._file.close()
        fault_point("packs.before_publish")
        self._objects.put(path, Path(self._file.name), consume=True)
        fault_point("packs.after_publish")
        self._packs.append(path)
        self._file, self._hash, self._size = None, hashlib.sha256(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None


def _unfinished(objects: Objects) -> IO[bytes]:
    """A file beside the store where it can be renamed into place, else in the machine's temporary folder."""
    folder = objects.local_path("staging") or Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"pack-{uuid.uuid4().hex}.tar").open("xb")


def read_blobs(objects: Objects, refs: Sequence[BlobRef], *, verify: bool = True) -> list[bytes]:
    """The bytes of each reference, in the order asked; each pack is opened once, near ranges are fetched together.

    Raises:
        IntegrityError: Bytes differ from their CRC-32, or the pack is missing or too short; it names pack and offset.
        StoreError: A pack cannot be read just now: nothing is known to be damaged.
    """
    by_pack: dict[str, list[int]] = {}
    for index, ref in enumerate(refs):
        by_pack.setdefault(ref.pack, []).append(index)
    found: list[bytes] = [b""] * len(refs)
    for pack, indices in by_pack.items():
        indices.sort(key=lambda index: refs[index].offset)
        try:
            parts = objects.get_ranges(pack, [(refs[index].offset, refs[index].length) for index in indices])
        except MissingObjectError as error:
            raise IntegrityError(error.what, where=error.where, mend=error.mend) from error
        for index, data in zip(indices, parts, strict=True):
            found[index] = data
    if verify:
        for ref, data in zip(refs, found, strict=True):
            check_blob(ref, data)
    return found


def check_blob(ref: BlobRef, data: bytes | memoryview) -> None:
    """Raise IntegrityError, naming pack and offset, when the bytes are not what the row says."""
    if len(data) != ref.length or crc32(data) != ref.crc32:
        raise IntegrityError(
            f"the {ref.length} bytes at offset {ref.offset} of {ref.pack} differ from their checksum",
            mend=DROP_DAMAGED,
        )


def refs_of(table: pa.Table) -> list[BlobRef]:
    """The references in columns ``pack``, ``offset``, ``length``, ``crc32``, row by row."""
    columns = [table.column(name).to_pylist() for name in ("pack", "offset", "length", "crc32")]
    return [BlobRef(*row) for row in zip(*columns, strict=True)]
