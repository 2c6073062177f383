"""CRC-32, by the fastest code at hand: a blob of 18 KiB takes ISA-L 0.4 us, zlib 5 us."""

from __future__ import annotations

try:
    from isal.isal_zlib import crc32
except ImportError:  # only mmfs[loader] brings it
    from zlib import crc32

__all__ = ["crc32"]
