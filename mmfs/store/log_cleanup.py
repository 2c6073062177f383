"""Old entries of a table's log: which of them nobody needs any more.

A log grows by a small file a commit, and by a checkpoint every hundred. On a local disk each commit lists all of them,
so that a log of some ten thousand makes commits slow. What is older than a checkpoint serves only to open a version
from before it by its number, and most such versions are gone: vacuum deleted their files. Kept are all entries of the
last days, and whatever opens a version that a pin names: the checkpoint before it, and the commits from there. So an
old pin leaves a gap behind it instead of a log that grows for ever; which run committed what, and when, is known from
the last gap on (`log_entries.known_commits`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from mmfs.errors import MissingObjectError
from mmfs.store.log_entries import log_entries
from mmfs.store.objects import ObjectInfo, Objects

if TYPE_CHECKING:
    from mmfs.store.pin import Pin


def pinned_versions(pins: Collection[Pin], table: str) -> set[int]:
    """The versions of a table that pins name."""
    return {pin.tables[table].version for pin in pins if table in pin.tables}


def unneeded_entries(objects: Objects, table: str, *, pinned: Collection[int], before_us: int) -> Iterator[ObjectInfo]:
    """Files of a table's log that opening the newest version, a recent one or a pinned one does not read.

    Args:
        pinned: Versions that must stay readable by number.
        before_us: Entries written later than this stay, microseconds since 1970.
    """
    entries = log_entries(objects, table)
    commits, checkpoints = entries.commits, entries.checkpoints
    old = [version for version in checkpoints if version in commits and commits[version].modified_us < before_us]
    first = min(max(old, default=0), _hinted(objects, table))
    if first not in checkpoints:
        return
    kept: set[int] = set()
    for version in pinned:
        if version < first:
            base = max((earlier for earlier in checkpoints if earlier <= version), default=0)
            kept.update(range(base, version + 1))
    for version, info in sorted([*commits.items(), *checkpoints.items()], key=lambda entry: entry[0]):
        if version < first and version not in kept:
            yield info


def _hinted(objects: Objects, table: str) -> int:
    """The checkpoint where readers begin; writers that checkpoint at the same time may leave it behind the newest."""
    try:
        return int(json.loads(objects.get(f"{table}/_delta_log/_last_checkpoint"))["version"])
    except (MissingObjectError, ValueError, KeyError, TypeError):
        return 0
