"""Run a step of a feature on some rows; where it fails, halve them until the bad rows stand alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mmfs.errors import FeatureError, MmfsError
from mmfs.features.batching import RowBatch
from mmfs.features.outputs import NotFiniteError
from mmfs.media.info import Reason

#: When this many rows fail together and not one of them can be computed, the model is to blame, not the rows.
_BLAME_ROWS = 4

Result = TypeVar("Result")


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be computed."""

    position: int
    reason: Reason
    message: str


@dataclass(frozen=True)
class ComputedRows:
    """Rows that came out: their positions upstream, and every output column in the same order."""

    positions: list[int]
    columns: dict[str, Sequence[Any]]


def halving(
    step: Callable[[RowBatch], Result], rows: RowBatch, failure: Exception | None = None
) -> tuple[list[Result], list[BadRow]]:
    """Run a step on rows, whole if it can be, else in halves down to single rows.

    Args:
        failure: What a first try on all the rows raised, if there was one.

    Returns:
        What came out, in order, and the rows that failed alone.

    Raises:
        MmfsError: Raised by the step, as when outputs are not what was declared.
        ImportError: Raised by the step: a library is missing.
    """
    if failure is None:
        try:
            return [step(rows)], []
        except Exception as error:
            failure = error
    if isinstance(failure, MmfsError | ImportError):
        raise failure  # no fault of a row
    if len(rows) == 1:
        return [], [BadRow(rows.positions[0], _reason(failure), failure_text(failure))]
    good: list[Result] = []
    bad: list[BadRow] = []
    for half in (rows.cut(0, len(rows) // 2), rows.cut(len(rows) // 2, len(rows))):
        more, failed = halving(step, half)
        good += more
        bad += failed
    return good, bad


def blame(table: str, good: Sequence[object], bad: Sequence[BadRow]) -> None:
    """Raise a FeatureError when so many rows fail together, and none comes out, that the model must be broken."""
    if not good and len(bad) >= _BLAME_ROWS:
        raise FeatureError(
            f"none of the {len(bad)} rows of a batch can be computed: {bad[0].message}",
            where=f"feature {table}",
            mend="so many bad rows in a row mean a broken model or compute method: check its weights and code",
        )


def is_out_of_memory(error: Exception | None) -> bool:
    """Whether a device had too little memory for a batch."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def failure_text(error: Exception) -> str:
    """An exception on one line, short enough for a table."""
    if isinstance(error, NotFiniteError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def _reason(error: Exception) -> Reason:
    if isinstance(error, NotFiniteError):
        return Reason.NOT_FINITE
    return Reason.OUT_OF_MEMORY if is_out_of_memory(error) else Reason.MODEL_FAILED
