"""Rows that a feature could not compute, in the table ``quarantine``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.features.attempt import BadRow
from mmfs.features.status import Work
from mmfs.features.versions import library_versions
from mmfs.ids import parse_key

if TYPE_CHECKING:
    from mmfs.store import Store


def record_bad_rows(store: Store, work: Work, bad: Sequence[BadRow], *, now_us: int) -> None:
    """Bring a shard's quarantine up to date with a run: failures of this run in, what it mended out.

    Rows that failed before under a fingerprint that still holds stay. A row is marked with its fingerprint, so that
    it is tried again when code, weights or input change, and not before. Those that lost their mark while the run was
    at work stay for the next one.
    """
    table, shard = work.status.table, work.status.shard
    keys = work.upstream.key_strings
    failed = pa.array(work.failed)
    left = dict(zip(keys.take(failed).to_pylist(), work.fingerprints.take(failed).to_pylist(), strict=True))

    def build(current: pa.Table) -> pa.Table:
        old = {row["uri"]: row for row in current.to_pylist() if row["stage"] == table}
        kept = [row for row in current.to_pylist() if row["stage"] != table]
        kept += [row for uri, row in old.items() if uri in left and row["mark"] in (None, left[uri])]
        kept += [_row(work, one, old, now_us) for one in bad]
        return pa.Table.from_pylist(kept, schema=current.schema)

    stages = store.tables.read("quarantine", columns=["stage"], shard=shard).column("stage").to_pylist()
    if bad or table in stages:
        store.tables.update("quarantine", shard, build)


def _row(work: Work, bad: BadRow, old: Mapping[str, Mapping[str, Any]], now_us: int) -> dict[str, Any]:
    key = work.upstream.key_strings[bad.position].as_py()
    return {
        "uri": key,
        "stage": work.status.table,
        "media_id": parse_key(key)[0],
        "reason": str(bad.reason),
        "message": bad.message,
        "library_versions": json.dumps(library_versions(), sort_keys=True),
        "attempts": int(old.get(key, {}).get("attempts") or 0) + 1,
        "mark": work.fingerprints[bad.position].as_py(),
        "at_us": now_us,
    }
