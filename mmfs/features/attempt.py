"""Compute a batch; where it fails, halve it until the bad rows stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmfs.errors import FeatureError, ModelError
from mmfs.features.batching import PreparedRow, collate
from mmfs.features.feature import Feature
from mmfs.features.outputs import NotFiniteError, checked_outputs
from mmfs.media.info import Reason

#: When this many rows fail together and not one of them can be computed, the model is to blame, not the rows.
_BLAME_ROWS = 4


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


def compute_batch(feature: Feature, rows: list[PreparedRow]) -> tuple[list[ComputedRows], list[BadRow]]:
    """Compute a batch, whole if it can be, else in halves down to single rows. A device out of memory is halved too.

    Returns:
        The rows that came out, in order, and those that could not be computed.

    Raises:
        FeatureError: The outputs are not what was declared, or no row of a batch of 4 or more can be computed.
    """
    good, bad = _halve(feature, rows)
    if not good and len(bad) >= _BLAME_ROWS:
        raise FeatureError(
            f"none of the {len(bad)} rows of a batch can be computed: {bad[0].message}",
            where=f"feature {feature.spec.table}",
            mend="so many bad rows in a row mean a broken model or compute method: check its weights and code",
        )
    return good, bad


def _halve(feature: Feature, rows: list[PreparedRow]) -> tuple[list[ComputedRows], list[BadRow]]:
    outcome = _attempt(feature, rows)
    if isinstance(outcome, ComputedRows):
        return [outcome], []
    if len(rows) == 1:
        return [], [outcome]
    good: list[ComputedRows] = []
    bad: list[BadRow] = []
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        more, failed = _halve(feature, half)
        good += more
        bad += failed
    return good, bad


def _attempt(feature: Feature, rows: list[PreparedRow]) -> ComputedRows | BadRow:
    import torch

    position = rows[0].position
    try:
        with torch.inference_mode():
            result = feature.compute(collate(rows))
            columns = checked_outputs(feature, result, len(rows))
    except (FeatureError, ModelError):
        raise
    except NotFiniteError as error:
        return BadRow(position, Reason.NOT_FINITE, str(error))
    except Exception as error:
        return BadRow(position, Reason.MODEL_FAILED, failure_text(error))
    return ComputedRows([row.position for row in rows], columns)


def failure_text(error: Exception) -> str:
    """An exception on one line, short enough for a table."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
