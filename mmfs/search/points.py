"""Names and hashes of points. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import UUID

from mmfs.search.port import ShardDigest, Stored


def point_id(namespace: UUID, key: str) -> UUID:
    """UUIDv5 of a sample key in the store's namespace: the same in every build, on every machine.

    >>> import uuid
    >>> point_id(uuid.NAMESPACE_DNS, "ab:7") == uuid.uuid5(uuid.NAMESPACE_DNS, "ab:7")
    True
    """
    return UUID(bytes=point_id_bytes(namespace, key))


def point_id_bytes(namespace: UUID, key: str) -> bytes:
    """The 16 bytes of `point_id`. (`uuid.uuid5` is several times slower, and there are millions.)"""
    raw = bytearray(hashlib.sha1(namespace.bytes + key.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def row_hash(key: str, vector: bytes | memoryview, payload: str) -> str:
    """32 hex characters over all that a point holds; a point whose hash is unchanged need not be written again."""
    state = hashlib.blake2b(digest_size=16)
    for part in (key.encode(), vector, payload.encode()):
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def shard_digests(points: Iterable[Stored]) -> dict[str, ShardDigest]:
    """Count and order-free fingerprint of each shard: the xor of hash(id, row hash).

    >>> from uuid import UUID
    >>> a, b = Stored(UUID(int=1), "s", "aa"), Stored(UUID(int=2), "s", "bb")
    >>> shard_digests([a, b]) == shard_digests([b, a]) != shard_digests([a])
    True
    """
    rows: dict[str, int] = {}
    folded: dict[str, int] = {}
    for point in points:
        mark = hashlib.blake2b(point.id.bytes + point.row_hash.encode(), digest_size=16).digest()
        rows[point.shard] = rows.get(point.shard, 0) + 1
        folded[point.shard] = folded.get(point.shard, 0) ^ int.from_bytes(mark, "little")
    return {shard: ShardDigest(count, f"{folded[shard]:032x}") for shard, count in rows.items()}
