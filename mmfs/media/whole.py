"""Is the file all there? Structure checks that run before a decoder is trusted with the bytes.

Decoders fill what is missing with grey and say nothing, so truncation is decided here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from mmfs.media.info import Reason, RefusedError


def check_whole(container: str, data: BinaryIO, size_bytes: int) -> None:
    """Refuse an image that ends too early or whose checksums are wrong; leave ``data`` at position 0.

    Raises:
        RefusedError: TRUNCATED or CORRUPT.
    """
    check = _CHECKS.get(container)
    if check is not None:
        data.seek(0)
        check(data, size_bytes)
        data.seek(0)


def boxes(data: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Type and end position of the top-level boxes of an ISO base media file; an end may lie beyond the file."""
    position = 0
    while position + 8 <= size_bytes:
        data.seek(position)
        header = data.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        end = position + length if length else size_bytes
        yield kind, end
        if length and length < 8:
            return
        position = end


def _jpeg(data: BinaryIO, size_bytes: int) -> None:
    # Segments are walked by their lengths, because an EXIF thumbnail holds an end marker of its own.
    position = 2
    while True:
        data.seek(position)
        header = data.read(4)
        if len(header) < 4:
            raise _truncated("JPEG", "its first scan")
        if header[0] != 0xFF:
            raise RefusedError(Reason.CORRUPT, f"JPEG: no marker at byte {position}")
        marker = header[1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
        elif marker == 0xD9:
            raise RefusedError(Reason.CORRUPT, "JPEG: ends before any scan")
        elif marker == 0xDA:
            break
        else:
            position += 2 + int.from_bytes(header[2:], "big")
    if b"\xff\xd9" not in data.read():
        raise _truncated("JPEG", "its end marker")


def _png(data: BinaryIO, size_bytes: int) -> None:
    position = 8
    while True:
        data.seek(position)
        header = data.read(8)
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8 or position + 12 + length > size_bytes:
            raise _truncated("PNG", "its end chunk")
        # Only chunks that pixels depend on (capital first letter) must be intact.
        if kind[:1].isupper():
            body = data.read(length)
            if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data.read(4), "big"):
                raise RefusedError(Reason.CORRUPT, f"PNG: checksum of chunk {kind!r} at byte {position} is wrong")
        if kind == b"IEND":
            return
        position += 12 + length


def _riff(data: BinaryIO, size_bytes: int) -> None:
    declared = int.from_bytes(data.read(8)[4:], "little") + 8
    if declared > size_bytes:
        raise _truncated("WebP", f"{declared - size_bytes} bytes")


def _isobmff(data: BinaryIO, size_bytes: int) -> None:
    for _, end in boxes(data, size_bytes):
        if end > size_bytes:
            raise _truncated("AVIF", f"{end - size_bytes} bytes")


def _truncated(name: str, missing: str) -> RefusedError:
    return RefusedError(Reason.TRUNCATED, f"{name}: {missing} is missing", mend="fetch the file again")


_CHECKS = {"jpeg": _jpeg, "png": _png, "webp": _riff, "avif": _isobmff}
