"""A goal and whether it was reached, the same in every benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal


def goal(
    claim: str,
    value: float | None,
    direction: Literal["at least", "at most"],
    bound: float,
    *,
    by_cpu: float | None = None,
) -> dict[str, Any]:
    """One row of the table of goals; a value of None was not measured.

    ``by_cpu`` is the same ratio by processor time. It decides nothing, but says more where the machine was shared.

    >>> goal("decode over bare simplejpeg", 0.91, "at least", 0.85)["hit"]
    True
    """
    hit = None if value is None else (value >= bound if direction == "at least" else value <= bound)
    return {
        "claim": claim,
        "value": None if value is None else round(value, 3),
        "by_cpu": None if by_cpu is None else round(by_cpu, 3),
        "goal": f"{direction} {bound:g}",
        "hit": hit,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The goals as text, one a line."""
    said = {True: "hit", False: "MISSED", None: "not measured"}
    cells = [("claim", "measured", "by CPU time", "goal", "")]
    for row in rows:
        value, by_cpu = ("-" if row[key] is None else f"{row[key]:g}" for key in ("value", "by_cpu"))
        cells.append((row["claim"], value, by_cpu, row["goal"], said[row["hit"]]))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
