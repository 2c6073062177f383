"""Text files, which count as media when they are named one by one."""

from __future__ import annotations

from typing import BinaryIO

from mmfs.media.info import Reason, RefusedError

_MAX_BYTES = 64 << 20


def check_text(data: BinaryIO, size_bytes: int) -> None:
    """Refuse what is not UTF-8 text.

    Raises:
        RefusedError: TOO_LARGE, or UNKNOWN_TYPE for bytes that are no text.
    """
    if size_bytes > _MAX_BYTES:
        raise RefusedError(Reason.TOO_LARGE, f"a text of {size_bytes} bytes; the limit is {_MAX_BYTES}")
    try:
        has_null = "\0" in data.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.UNKNOWN_TYPE, f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    if has_null:
        raise RefusedError(Reason.UNKNOWN_TYPE, "not text: it contains null characters")
