"""What a pin covers, in one line: shown when it is made, and logged before training begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmfs.schemas import GRAIN_TABLES

if TYPE_CHECKING:
    from mmfs.store.pin import Pin


def coverage_report(pin: Pin, *, taken_down: int = 0) -> str:
    """Samples and shards; every column that some selected rows lack; what became of these rows.

    Args:
        taken_down: Samples that were taken down since the pin was made.
    """
    shards = sum(rows > 0 for rows in pin.shard_rows.values())
    rows = GRAIN_TABLES[pin.grain]
    shape = pin.grain if pin.window is None else f"windows of {pin.window.frames} rows of {rows}"
    parts = [f"{_number(pin.samples, 'sample')} ({shape}) in {_number(shards, 'shard')}"]
    lacking = [
        f"{column}: {_percent(share)} of the selected {rows}" for column, share in pin.coverage.items() if share < 1
    ]
    parts += lacking or ["every column complete"]
    if pin.missing == "skip" and pin.selected is not None and pin.window is None and pin.selected > pin.samples:
        parts.append(f"{pin.selected - pin.samples:,} left out (missing='skip')")
    elif pin.missing == "skip" and lacking and pin.window is not None:
        parts.append("what lacks one is in no window (missing='skip')")
    elif pin.missing == "null" and lacking:
        parts.append("the rest is kept, as zeros and a mask (missing='null')")
    if pin.absent:
        parts.append(f"{_number(pin.absent, 'key')} of subset {pin.subset!r} in no row of {rows}")
    if taken_down:
        was = "was" if taken_down == 1 else "were"
        parts.append(f"{_number(taken_down, 'sample')} {was} taken down since the pin was made")
    return "; ".join(parts)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _percent(share: float) -> str:
    """Rounded down, so that only what is whole reads as 100 %.

    >>> _percent(0.99999), _percent(0.982)
    ('99.9 %', '98.2 %')
    """
    return f"{int(share * 1000 + 1e-9) / 10:.1f} %"
