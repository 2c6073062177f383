"""A plan in words: what would be done, why, and what it would cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mmfs.store.standing import FAILED

if TYPE_CHECKING:
    from mmfs.features.plan import Plan
    from mmfs.store.standing import ShardStatus

UNMEASURED = "not measured yet"


def duration_text(seconds: float) -> str:
    """A time for people.

    >>> [duration_text(seconds) for seconds in (0.00001, 0.02, 3.4, 48, 130, 7_500, 200_000)]
    ['0 s', '0.02 s', '3.4 s', '48 s', '2 min', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 0.001:
        return "0 s"
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def summary(plans: Mapping[str, Plan]) -> str:
    """One line: assets, files, rows and time.

    The files that ``raw_media`` reads are no rows; what has to be read first makes the rows a guess.
    """
    busy = [plan for plan in plans.values() if plan.to_compute]
    if not busy:
        return "every row is fresh"
    files = sum(plan.to_compute for plan in busy if plan.table == "raw_media")
    rows = sum(plan.to_compute for plan in busy if plan.table != "raw_media")
    about = "about " if any(plan.estimated for plan in busy if plan.table != "raw_media") else ""
    parts = [f"{len(busy)} asset{'s' if len(busy) > 1 else ''}"]
    parts += [f"{files:,} files to read"] if files else []
    parts += [f"{about}{rows:,} rows to compute"] if rows else []
    return ", ".join([*parts, total_time(busy)])


def made(computed: Mapping[str, int]) -> str:
    """What came of a plan, in the same terms as its `summary`.

    Args:
        computed: Rows made, by table; of ``raw_media``, media that were found in the files.

    >>> made({"raw_media": 6, "frames": 6, "clip_embeddings": 5})
    '3 assets, 6 media registered, 11 rows computed'
    """
    busy = {table: rows for table, rows in computed.items() if rows}
    media, rows = busy.get("raw_media", 0), sum(rows for table, rows in busy.items() if table != "raw_media")
    if not busy:
        return "no rows computed"
    parts = [f"{len(busy)} asset{'s' if len(busy) > 1 else ''}"]
    parts += [f"{media:,} media registered"] if media else []
    parts += [f"{rows:,} rows computed"] if rows else []
    return ", ".join(parts)


def total_time(plans: Iterable[Plan]) -> str:
    """The wall time of plans one after the other, as far as it was measured."""
    busy = [plan for plan in plans if plan.to_compute]
    known = [plan.forecast for plan in busy if plan.forecast]
    if not known:
        return f"time {UNMEASURED}"
    least = "" if len(known) == len(busy) else ", not counting what was never measured"
    return f"about {duration_text(sum(forecast.wall_s for forecast in known))}{least}"


def count_text(plan: Plan | ShardStatus) -> str:
    """Rows to compute; a guess is said to be one."""
    return f"{'about ' if plan.estimated else ''}{plan.to_compute:,}"


def causes_text(plan: Plan | ShardStatus) -> str:
    """Why rows are to be computed, most of them first."""
    why = {cause: rows for cause, rows in plan.causes.items() if cause != FAILED}
    return ", ".join(f"{cause} {rows:,}" for cause, rows in sorted(why.items(), key=lambda item: -item[1]))


def epochs_text(epochs: float | None) -> str:
    """After how many epochs keeping values pays.

    >>> epochs_text(None), epochs_text(2.0), epochs_text(float("inf"))
    ('-', '2 epochs', 'never')
    """
    if epochs is None:
        return "-"
    return "never" if math.isinf(epochs) else f"{epochs:,.0f} epochs"


def libraries_text(plan: Plan) -> str:
    """Libraries that are other ones now than those that computed."""
    return ", ".join(
        f"{name} {'/'.join(plan.libraries[name])}, now {version}" for name, version in plan.changed_libraries.items()
    )


def document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON; infinite epochs are ``"never"``."""
    forecast, epochs = plan.forecast, plan.break_even_epochs
    return {
        "table": plan.table,
        **{name: getattr(plan, name) for name in ("rows", "fresh", "stale", "missing", "failed", "gone")},
        **{name: getattr(plan, name) for name in ("to_compute", "estimated", "causes", "problem")},
        "reads": vars(plan.reads) if plan.reads else None,
        "bytes_written": forecast.bytes_written if forecast else None,
        "device_s": forecast.device_s if forecast else None,
        "wall_s": forecast.wall_s if forecast else None,
        "measured_on": forecast.rates.device if forecast else None,
        "measured_on_this_device": forecast.is_this_device if forecast else None,
        "rates": vars(forecast.rates) if forecast else None,
        "break_even_epochs": "never" if epochs is not None and math.isinf(epochs) else epochs,
        "libraries": dict(plan.libraries),
        "changed_libraries": dict(plan.changed_libraries),
        "shards": [vars(shard) | {"to_compute": shard.to_compute} for shard in plan.shards],
    }
