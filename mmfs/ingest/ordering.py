"""Put outcomes that arrive in any order back into the order of their jobs, within a bounded buffer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from mmfs.media import Failure, Sampled

Outcome = Sampled | Failure


def in_order(
    outcomes: Iterable[Outcome], ids: Sequence[str], *, absent: Container[str], buffer_bytes: int
) -> Iterator[Outcome]:
    """Outcomes in the order of ``ids`` while those that came early fit the buffer; else as they came.

    Args:
        absent: Ids that get no outcome; may grow while outcomes are drawn.
        buffer_bytes: JPEG bytes that may wait for an earlier outcome.
    """
    waiting: dict[str, Outcome] = {}
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


def _size(outcome: Outcome) -> int:
    return sum(len(frame.jpeg) for frame in outcome.frames) if isinstance(outcome, Sampled) else 0
