"""Blobs of many samples in few reads, each with its own verdict: a bad one spoils nothing but itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError, LoaderError, StoreError
from mmfs.store.objects import Objects
from mmfs.store.packs import BlobRef, check_blob


@dataclass(frozen=True)
class Bad:
    """Why a value cannot be delivered, and where its bytes lie, if it has any."""

    reason: str
    pack: str | None = None
    offset: int | None = None


class Fetcher:
    """Reads blobs of one table.

    Args:
        objects: The store's objects.
        packs: The pinned packs; references count into this list.
        verify: Compare every blob with its CRC-32.

    Attributes:
        bytes_read: Bytes of blobs read so far.
    """

    def __init__(self, objects: Objects, packs: Sequence[str], *, verify: bool) -> None:
        self._objects = objects
        self._packs = packs
        self._verify = verify
        self._lock = threading.Lock()
        self.bytes_read = 0

    def fetch(self, references: npt.NDArray[np.void]) -> list[bytes | Bad]:
        """The bytes behind references (``pack``, ``offset``, ``length``, ``crc32``), in their order.

        Raises:
            LoaderError: A pack is gone.
        """
        found: list[bytes | Bad] = [b""] * len(references)
        order = np.lexsort((references["offset"], references["pack"])).tolist()
        refs = [BlobRef(self._packs[pack], offset, size, crc) for pack, offset, size, crc in references.tolist()]
        start = 0
        for end in range(1, len(order) + 1):
            if end == len(order) or refs[order[end]].pack != refs[order[start]].pack:
                places = order[start:end]
                for place, data in zip(places, self._from_pack([refs[p] for p in places]), strict=True):
                    found[place] = data
                start = end
        with self._lock:
            self.bytes_read += sum(len(data) for data in found if isinstance(data, bytes))
        return found

    def bad(self, reference: np.void, reason: str) -> Bad:
        """A verdict on the bytes of one reference."""
        return Bad(reason, self._packs[reference["pack"]], int(reference["offset"]))

    def _from_pack(self, refs: Sequence[BlobRef]) -> list[bytes | Bad]:
        pack = refs[0].pack
        try:
            parts = self._objects.get_ranges(pack, [(ref.offset, ref.length) for ref in refs])
        except StoreError as error:
            if not self._objects.exists(pack):
                raise LoaderError(
                    f"pack {pack} of the pin is gone",
                    where=self._objects.url,
                    mend="restore it, or pin the newest versions; vacuum keeps what pins name, other tools may not",
                ) from error
            if len(refs) == 1:
                return [Bad(error.what, pack, refs[0].offset)]
            return [self._from_pack([ref])[0] for ref in refs]
        return [self._checked(ref, data) for ref, data in zip(refs, parts, strict=True)]

    def _checked(self, ref: BlobRef, data: bytes) -> bytes | Bad:
        if self._verify:
            try:
                check_blob(ref, data)
            except IntegrityError as error:
                return Bad(error.what, ref.pack, ref.offset)
        return data
