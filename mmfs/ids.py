"""Names of things: media, samples and shards. Pure functions."""

from __future__ import annotations

import hashlib

from mmfs.errors import StoreError

SHARD_DIGITS = 6


def media_id_of(sha256_hex: str) -> str:
    """The media id of bytes with this SHA-256: its first 128 bits as 32 hex characters.

    >>> media_id_of("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    'e3b0c44298fc1c149afbf4c8996fb924'
    """
    return sha256_hex[:32].lower()


def sample_key(media_id: str, index: int | None = None) -> str:
    """The key people see: ``<media_id>:<index>``, or the bare media id at the grain of media.

    >>> sample_key("ab" * 16, 7)
    'abababababababababababababababab:7'
    """
    return media_id if index is None else f"{media_id}:{index}"


def parse_key(key: str) -> tuple[str, int | None]:
    """The inverse of :func:`sample_key`.

    Raises:
        StoreError: The text is not a key.

    >>> parse_key("abababababababababababababababab:7")
    ('abababababababababababababababab', 7)
    """
    media_id, colon, index = key.partition(":")
    try:
        int(media_id, 16)
        parsed = int(index) if colon else None
    except ValueError:
        parsed, media_id = None, ""
    if len(media_id) != 32:
        raise StoreError(
            f"{key!r} is not a sample key",
            mend="keys look like <32 hex characters>:<index>, as in batch['_key']",
        )
    return media_id, parsed


def shard_name(number: int) -> str:
    """The zero-padded name of a shard, so that names sort as numbers do.

    >>> shard_name(42)
    '000042'
    """
    return f"{number:0{SHARD_DIGITS}d}"


def digest(*parts: str | bytes) -> str:
    """SHA-256 (hex) over length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()
