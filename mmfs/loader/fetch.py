"""Blobs of many samples in few reads, each with its own verdict: a bad one spoils nothing but itself."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.errors import LoaderError, MissingObjectError, StoreError, UnreachableError
from mmfs.loader.pack_files import PackFiles
from mmfs.store.checksum import crc32
from mmfs.store.objects import COALESCE_BYTES, Objects
from mmfs.store.ranges import merge_ranges

#: Read from another machine in one call, which has a deadline.
_PORTION_BYTES = 16 << 20

References = npt.NDArray[np.void]
#: Number of the pack, offset, length, CRC-32.
Place = tuple[int, int, int, int]
#: By block of the order: what the samples of the blocks have that some places belong to.
Nearby = Callable[[Sequence[Place]], dict[int, list[Place]]]


@dataclass(frozen=True)
class Bad:
    """Why a value cannot be delivered, and where its bytes lie, if it has any."""

    reason: str
    pack: str | None = None
    offset: int | None = None


class Fetcher(ABC):
    """Reads blobs of one table.

    Args:
        objects: The store's objects.
        packs: The pinned packs; references count into this list.
        verify: Compare every blob with its CRC-32.

    Attributes:
        is_shared: Whether what was fetched once is there for all processes of the node.
        bytes_read: Bytes of blobs handed out so far.
        bytes_fetched: Bytes read from the store for that, of packs alone.
        bytes_cached: Bytes of blobs that came from the node's cache instead.
    """

    is_shared = False

    def __init__(self, objects: Objects, packs: Sequence[str], *, verify: bool) -> None:
        self.packs = packs
        self.verify = verify
        self._objects = objects
        self._lock = threading.Lock()
        self.bytes_read = self.bytes_fetched = self.bytes_cached = 0

    @abstractmethod
    def fetch(self, references: References, nearby: Nearby | None = None) -> list[bytes | Bad]:
        """The bytes behind references (``pack``, ``offset``, ``length``, ``crc32``), in their order.

        Args:
            nearby: Tells what the node will want soon, so that it can be fetched with what is missing.

        Raises:
            LoaderError: A pack is gone or cannot be reached.
        """

    def bad(self, reference: np.void, reason: str) -> Bad:
        """A verdict on the bytes of one reference."""
        return Bad(reason, self.packs[reference["pack"]], int(reference["offset"]))

    def differs(self, place: Place) -> Bad:
        """The verdict on bytes that are not what the row says."""
        pack, offset, length, _ = place
        path = self.packs[pack]
        return Bad(f"the {length} bytes at offset {offset} of {path} differ from their checksum", path, offset)

    def error(self, pack: int, error: StoreError) -> LoaderError:
        """The error for a pack that cannot be read at all."""
        path = self.packs[pack]
        if isinstance(error, MissingObjectError):
            return LoaderError(
                f"pack {path} of the pin is gone",
                where=self._objects.url,
                mend="restore it, or pin the newest versions; vacuum keeps what pins name, other tools may not",
            )
        return LoaderError(error.what, where=error.where, mend=error.mend)

    def count(self, *, read: int = 0, fetched: int = 0, cached: int = 0) -> None:
        """Add to the figures."""
        with self._lock:
            self.bytes_read += read
            self.bytes_fetched += fetched
            self.bytes_cached += cached


class LocalFetcher(Fetcher):
    """Blobs of packs on this machine, read one by one: two reads a blob and no seeking cost less than anything else."""

    def __init__(self, objects: Objects, packs: Sequence[str], *, verify: bool) -> None:
        super().__init__(objects, packs, verify=verify)
        self._files = PackFiles(objects, packs)

    def fetch(self, references: References, nearby: Nearby | None = None) -> list[bytes | Bad]:
        found: list[bytes | Bad] = []
        read, verify, size = self._files.read, self.verify, 0
        for place in references.tolist():
            pack, offset, length, crc = place
            try:
                data = read(pack, offset, length)
            except (MissingObjectError, UnreachableError) as error:
                raise self.error(pack, error) from error
            except StoreError as error:
                found.append(Bad(error.what, self.packs[pack], offset))
                continue
            if len(data) == length and (not verify or crc32(data) == crc):
                found.append(data)
                size += length
            elif len(data) == length:
                found.append(self.differs(place))
            else:
                found.append(Bad(f"{self.packs[pack]} ends before byte {offset + length}", self.packs[pack], offset))
        self.count(read=size)
        return found


class RemoteFetcher(Fetcher):
    """Blobs of packs on another machine: the ranges of a pack in one call, near ones in one request."""

    def fetch(self, references: References, nearby: Nearby | None = None) -> list[bytes | Bad]:
        found: list[bytes | Bad] = [b""] * len(references)
        for pack, numbers in by_pack(references.tolist()).items():
            places = [place for _, place in numbers]
            for (number, _), data in zip(numbers, self.read(pack, places), strict=True):
                found[number] = data
        self.count(read=sum(len(data) for data in found if isinstance(data, bytes)))
        return found

    def read(self, pack: int, places: Sequence[Place], *, gap_bytes: int = COALESCE_BYTES) -> list[bytes | Bad]:
        """The bytes at places of one pack.

        Raises:
            LoaderError: It is gone or cannot be reached.
        """
        return [data for some in _portions(places) for data in self._read(pack, some, gap_bytes)]

    def _read(self, pack: int, places: Sequence[Place], gap_bytes: int) -> list[bytes | Bad]:
        ranges = [(offset, length) for _, offset, length, _ in places]
        try:
            parts = self._objects.get_ranges(self.packs[pack], ranges, gap_bytes=gap_bytes)
        except (MissingObjectError, UnreachableError) as error:
            raise self.error(pack, error) from error
        except StoreError as error:
            if len(places) == 1:
                return [Bad(error.what, self.packs[pack], places[0][1])]
            return [self._read(pack, [place], gap_bytes)[0] for place in places]
        spans = merge_ranges(ranges, gap_bytes=gap_bytes, most_bytes=1 << 62)
        self.count(fetched=sum(length for _, length in spans))
        return [
            data if not self.verify or crc32(data) == place[3] else self.differs(place)
            for place, data in zip(places, parts, strict=True)
        ]


def _portions(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Places one after the other, as many at a time as a slow network carries within the deadline of a read."""
    begin = size = 0
    for number, (_, _, length, _) in enumerate(places):
        if number > begin and size + length > _PORTION_BYTES:
            yield places[begin:number]
            begin, size = number, 0
        size += length
    yield places[begin:]


def by_pack(places: Sequence[Place]) -> dict[int, list[tuple[int, Place]]]:
    """Places by the number of their pack, each with its number in the list."""
    found: dict[int, list[tuple[int, Place]]] = {}
    for number, place in enumerate(places):
        found.setdefault(place[0], []).append((number, place))
    return found
