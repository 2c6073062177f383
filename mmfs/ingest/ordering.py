"""In which order media are handed out, and how outcomes that arrive in any order get back into that of their ids."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from mmfs.media import Failure, Sampled, Windowed

T = TypeVar("T", Sampled, Windowed)

#: So many media at the end are handed out longest first; their outcomes wait for one another.
_LAST = 32


def long_before_short(media: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with ``duration_s`` as they come, but the last 32 longest first.

    A long one begun last would keep one process at work while the others have nothing left.

    >>> [row["duration_s"] for row in long_before_short([{"duration_s": s} for s in (None, 2.0, 60.0)])]
    [60.0, 2.0, None]
    """
    return [*media[:-_LAST], *sorted(media[-_LAST:], key=lambda row: -(row["duration_s"] or 0.0))]


def in_order(
    outcomes: Iterable[T | Failure], ids: Sequence[str], *, absent: Container[str], buffer_bytes: int
) -> Iterator[T | Failure]:
    """Outcomes in the order of ``ids`` while those that came early fit the buffer; else as they came.

    Args:
        absent: Ids that get no outcome; may grow while outcomes are drawn.
        buffer_bytes: Decoded bytes that may wait for an earlier outcome.
    """
    waiting: dict[str, T | Failure] = {}
    flushed: set[str] = set()
    size = position = 0
    for outcome in outcomes:
        waiting[outcome.id] = outcome
        size += _size(outcome)
        while position < len(ids):
            ready = waiting.pop(ids[position], None)
            if ready is None and ids[position] not in flushed and ids[position] not in absent:
                break
            position += 1
            if ready is not None:
                size -= _size(ready)
                yield ready
        if size > buffer_bytes:
            yield from waiting.values()
            flushed |= waiting.keys()
            waiting, size = {}, 0
    yield from (waiting[key] for key in ids if key in waiting)


def _size(outcome: Sampled | Windowed | Failure) -> int:
    return 0 if isinstance(outcome, Failure) else outcome.blob_bytes
