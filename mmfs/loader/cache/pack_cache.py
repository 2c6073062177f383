"""Blobs of packs on another machine, through the node's disk: each is fetched once a node.

Without a cache a rank reads what it needs. With one, a miss is widened to the block of the order: the samples of a
block are delivered one after the other, to all ranks of the node, and lie side by side in the pack.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import PurePosixPath

from mmfs.loader.cache.folder import RANGES, CacheFolder
from mmfs.loader.cache.mirror import PackMirror
from mmfs.loader.cache.open_files import OpenFiles
from mmfs.loader.fetch import Bad, Nearby, Place, References, RemoteFetcher, by_pack
from mmfs.store.faults import fault_point
from mmfs.store.objects import Objects

log = logging.getLogger("mmfs.loader")

#: Between the blobs of a block there is a tar header; more than that is not worth its bytes.
_GAP_BYTES = 4096


class CachedFetcher(RemoteFetcher):
    """Blobs of one table; see `Fetcher`.

    Args:
        cache: The node's folder.
    """

    is_shared = True

    def __init__(self, objects: Objects, packs: Sequence[str], *, verify: bool, cache: CacheFolder) -> None:
        super().__init__(objects, packs, verify=verify)
        self._cache = cache
        self._open: OpenFiles[PackMirror] = cache.open_files()
        self._writes = True

    def fetch(self, references: References, nearby: Nearby | None = None) -> list[bytes | Bad]:
        places: list[Place] = references.tolist()
        found: list[bytes | Bad | None] = [self._kept(place) for place in places]
        self.count(cached=sum(len(data) for data in found if isinstance(data, bytes)))
        missing = [number for number, data in enumerate(found) if data is None]
        if missing:
            fetched: dict[Place, bytes | Bad] = {}
            self._share(self._blocks([places[number] for number in missing], nearby), fetched, waits=True)
            left = [number for number in missing if self._take(found, number, places[number], fetched)]
            # What another process fetched may be gone again when the quota is small, or it differs from its checksum.
            for pack, some in by_pack([places[number] for number in left]).items():
                for (at, _), data in zip(some, self.read(pack, [place for _, place in some]), strict=True):
                    found[left[at]] = data
        whole = [data for data in found if data is not None]
        self.count(read=sum(len(data) for data in whole if isinstance(data, bytes)))
        return whole

    def prefetch(self, places: Sequence[Place], *, waits: bool) -> bool:
        """Fetch what is not there in few requests; False if it is left to others, as they are fetching it."""
        return not places or not self._share({places[0][1]: list(places)}, {}, waits=waits)

    def _blocks(self, missing: Sequence[Place], nearby: Nearby | None) -> dict[int, list[Place]]:
        """What to fetch, by block; what belongs to none is one of its own, with a negative number."""
        blocks = nearby(missing) if nearby else {}
        known = {place for block in blocks.values() for place in block}
        alone = [place for place in dict.fromkeys(missing) if place not in known]
        return blocks | {-1 - (pack << 44) - offset: [place] for place in alone for pack, offset, *_ in [place]}

    def _share(self, blocks: dict[int, list[Place]], fetched: dict[Place, bytes | Bad], *, waits: bool) -> list[int]:
        """See to it that blocks are in the folder, or at least in ``fetched``."""

        def read(keys: list[tuple[str, int]]) -> None:
            places = [place for _, block in keys for place in blocks[block] if self._kept(place) is None]
            for pack, numbered in by_pack(list(dict.fromkeys(places))).items():
                wanted = [place for _, place in numbered]
                for place, data in zip(wanted, self.read(pack, wanted, gap_bytes=_GAP_BYTES), strict=True):
                    fetched[place] = data
                    if isinstance(data, bytes):
                        self._keep(place, data)

        def is_there(key: tuple[str, int]) -> bool:
            return all(self._kept(place) is not None for place in blocks[key[1]])

        left = self._cache.claims.share([(self.packs[0], block) for block in blocks], is_there, read, waits=waits)
        return [block for _, block in left]

    def _take(
        self, found: list[bytes | Bad | None], number: int, place: Place, fetched: dict[Place, bytes | Bad]
    ) -> bool:
        """Fill one place; whether it is still missing."""
        found[number] = fetched.get(place)
        if found[number] is None and (data := self._kept(place)) is not None:
            found[number] = data
            self.count(cached=len(data))
        return found[number] is None

    def _kept(self, place: Place) -> bytes | None:
        pack, offset, length, crc = place
        if length == 0:
            return b"" if crc == 0 else None
        try:
            return self._mirror(pack).read(offset, length, crc)
        except OSError:
            return None

    def _keep(self, place: Place, data: bytes) -> None:
        if not self._writes:
            return
        try:
            fault_point("cache.before_blob")
            self._mirror(place[0]).write(place[1], data)
        except OSError as error:
            self._writes = False
            log.warning(
                "the cache folder %s cannot be written (%s): media are read over the network from now on",
                self._cache.root,
                error.strerror,
            )
            return
        self._cache.add_written(len(data))

    def _mirror(self, pack: int) -> PackMirror:
        return self._open.get(pack, self._open_mirror)

    def _open_mirror(self, pack: int) -> PackMirror:
        return PackMirror(self._cache.packs / f"{PurePosixPath(self.packs[pack]).name}{RANGES}")
