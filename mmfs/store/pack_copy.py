"""Copy blobs from packs into new ones: by ranges, some MiB at a time, nothing that differs from its checksum."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mmfs.errors import IntegrityError
from mmfs.store.objects import Objects
from mmfs.store.packs import BlobRef, PackWriter, check_blob, read_blobs

_HEADER_BYTES = tarfile.BLOCKSIZE
#: Blobs held in memory at once, unless one alone is larger.
_HELD_BYTES = 32 << 20

#: A pack, and the offset of a blob in it.
Place = tuple[str, int]


def copy_blobs(objects: Objects, table: str, shard: str, refs: Iterable[BlobRef]) -> dict[Place, Place]:
    """Put blobs into new packs of a shard, under the names they have; where each lies then, by where it lay.

    Blobs that rows share are copied once. Nothing is visible before all are copied, or it is unnamed.

    Raises:
        IntegrityError: A blob or its header is damaged, or a pack is gone; it names pack and offset.
        StoreError: The store cannot be read or written.
    """
    numbers: dict[Place, int] = {}
    with PackWriter(objects, table, shard) as packs:
        for batch in _batches(refs):
            for ref, name, data in _members(objects, batch):
                numbers[ref.pack, ref.offset] = packs.add(name, data)
        new = packs.finish()
    return {place: (new[number].pack, new[number].offset) for place, number in numbers.items()}


def _batches(refs: Iterable[BlobRef]) -> Iterator[list[BlobRef]]:
    """Each blob once, in the order given, as many together as may be held."""
    batch: list[BlobRef] = []
    seen: set[Place] = set()
    held = 0
    for ref in refs:
        if (ref.pack, ref.offset) in seen:
            continue
        seen.add((ref.pack, ref.offset))
        if batch and held + ref.length > _HELD_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(ref)
        held += ref.length
    if batch:
        yield batch


def _members(objects: Objects, refs: list[BlobRef]) -> Iterator[tuple[BlobRef, str, bytes]]:
    """Name and bytes of each blob, in the order given, compared with their header and checksum.

    Raises:
        IntegrityError: They differ; it names pack and offset.
    """
    whole = [replace(ref, offset=ref.offset - _HEADER_BYTES, length=ref.length + _HEADER_BYTES) for ref in refs]
    found = read_blobs(objects, whole, verify=False)
    for position, ref in enumerate(refs):
        member, found[position] = found[position], b""
        data = member[_HEADER_BYTES:]
        check_blob(ref, data)
        yield ref, _name(ref, member[:_HEADER_BYTES]), data


def _name(ref: BlobRef, header: bytes) -> str:
    try:
        member = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise _damaged_header(ref) from error
    if member.size != ref.length:
        raise _damaged_header(ref)
    return member.name


def _damaged_header(ref: BlobRef) -> IntegrityError:
    return IntegrityError(
        f"the header before offset {ref.offset} of {ref.pack} is damaged",
        mend="restore the pack from a backup, or delete it; then `mmfs verify --drop-damaged` and `mmfs materialize`",
    )
