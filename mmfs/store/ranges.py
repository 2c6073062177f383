"""Which requests serve which ranges: near ones become one, long ones become several."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Range = tuple[int, int]


def merge_ranges(ranges: Sequence[Range], *, gap_bytes: int, most_bytes: int) -> list[Range]:
    """Spans ``(offset, length)``, sorted and apart, that cover all ranges; none longer than ``most_bytes``.

    Args:
        ranges: ``(offset, length)`` each, in any order; they may overlap. Empty ones need no span.
        gap_bytes: Bytes between two ranges that are rather read than make another request.
        most_bytes: Longest span; a longer range is cut.

    >>> merge_ranges([(90, 10), (0, 5), (7, 3), (50, 25)], gap_bytes=2, most_bytes=20)
    [(0, 10), (50, 20), (70, 5), (90, 10)]
    """
    spans: list[Range] = []
    start = end = -1
    for offset, length in sorted(ranges):
        if length == 0:
            continue
        if start >= 0 and offset - end <= gap_bytes and max(end, offset + length) - start <= most_bytes:
            end = max(end, offset + length)
            continue
        spans += _cut(start, end, most_bytes)
        # What a span before this one covers is not asked for again.
        start, end = max(offset, end), max(end, offset + length)
    return spans + _cut(start, end, most_bytes)


def take_ranges(spans: Sequence[Range], parts: Sequence[bytes | memoryview], ranges: Sequence[Range]) -> list[bytes]:
    """The bytes of each range, from the bytes of the spans that cover them.

    >>> take_ranges([(0, 10), (50, 20), (70, 5)], [bytes(range(10)), bytes(20), b"abcde"], [(7, 2), (68, 4), (3, 0)])
    [b'\\x07\\x08', b'\\x00\\x00ab', b'']
    """
    starts = [offset for offset, _ in spans]
    found = []
    for offset, length in ranges:
        begin, end, pieces = offset, offset + length, []
        at = bisect_right(starts, offset) - 1
        while begin < end:
            pieces.append(bytes(parts[at][begin - starts[at] : end - starts[at]]))
            begin, at = begin + len(pieces[-1]), at + 1
        found.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
    return found


def _cut(start: int, end: int, most_bytes: int) -> list[Range]:
    return [(at, min(most_bytes, end - at)) for at in range(start, end, most_bytes)]
