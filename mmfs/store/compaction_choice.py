"""Which packs of a shard are worth rewriting: size-tiered, so that no byte is copied often.

A pack is rewritten when more than 30 % of it is dead, or when it is one of eight of a size class (below 1, 8 and 64
MiB). What is rewritten becomes one pack, or several of up to 1 GiB, which counts in its own class at once. A shard that
gets a pack a day has at most seven packs of each class, therefore. Above 1 MiB a byte is copied once a class, that is
twice, until its pack is large enough to stay; below, it is copied more often, but that is 1 MiB at most.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection
from dataclasses import dataclass

from mmfs.store.packs import PACK_BYTES

#: Share of dead bytes above which a pack is rewritten.
DEAD_SHARE = 0.30
#: So many packs of one size class become one.
MERGED_PACKS = 8
_CLASSES_BYTES = (1 << 20, 8 << 20, 64 << 20)
_BLOCK = tarfile.BLOCKSIZE
#: What a tar takes besides its members.
END_BYTES = 2 * _BLOCK


@dataclass(frozen=True)
class PackUse:
    """How much of a pack rows still name.

    Attributes:
        path: The pack.
        size_bytes: Its size.
        live_bytes: What it would take with the named blobs alone, headers and padding included.
    """

    path: str
    size_bytes: int
    live_bytes: int

    @property
    def dead_bytes(self) -> int:
        """Bytes that no row names."""
        return max(0, self.size_bytes - self.live_bytes)

    @property
    def dead_share(self) -> float:
        """Share of the pack that no row names, 0 to 1."""
        return self.dead_bytes / self.size_bytes if self.size_bytes else 0.0


def member_bytes(length: int) -> int:
    """What a blob takes in a pack: header, bytes, padding.

    >>> member_bytes(1), member_bytes(512), member_bytes(0)
    (1024, 1024, 512)
    """
    return _BLOCK + length + -length % _BLOCK


def packs_to_rewrite(packs: Collection[PackUse]) -> frozenset[str]:
    """The packs to rewrite together; none when the shard is as it should be.

    >>> small = [PackUse(f"{n}.tar", 4096, 4096) for n in range(8)]
    >>> sorted(packs_to_rewrite(small[:7])), len(packs_to_rewrite(small))
    ([], 8)
    >>> sorted(packs_to_rewrite([*small[:3], PackUse("old.tar", 1 << 30, 1 << 29)]))
    ['old.tar']
    """
    chosen = {pack for pack in packs if pack.dead_share > DEAD_SHARE}
    while True:
        rest: dict[int, list[PackUse]] = {}
        for pack in packs:
            if pack not in chosen and (own := _size_class(pack.size_bytes)) is not None:
                rest.setdefault(own, []).append(pack)
        made = _size_class(merged_bytes(chosen)) if chosen else None
        full = [pack for own, some in rest.items() if len(some) + (own == made) >= MERGED_PACKS for pack in some]
        if not full:
            return frozenset(pack.path for pack in chosen)
        chosen.update(full)


def merged_bytes(packs: Collection[PackUse]) -> int:
    """Size of a pack that holds all that rows name of these."""
    return sum(pack.live_bytes - END_BYTES for pack in packs) + END_BYTES


def packs_made(size_bytes: int) -> int:
    """So many packs blobs are written into that would make one of this size; one more where large blobs fit badly.

    >>> packs_made(5000), packs_made(PACK_BYTES + END_BYTES), packs_made(5 * PACK_BYTES // 2)
    (1, 1, 3)
    """
    return max(1, -((END_BYTES - size_bytes) // PACK_BYTES))


def _size_class(size_bytes: int) -> int | None:
    """Number of the size class; None for packs that are large enough."""
    return next((number for number, limit in enumerate(_CLASSES_BYTES) if size_bytes < limit), None)
