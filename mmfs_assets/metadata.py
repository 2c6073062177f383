"""What a materialization tells people: rows, rates, bytes, the table's columns."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mmfs.store import Store
from mmfs_assets.outcome import Outcome
from mmfs_assets.table_schema import column_schema

#: Figures of how many rows were made by a run, and taken over from one that did not end.
ROWS_COMPUTED, ROWS_ADOPTED = "rows_computed", "rows_adopted"
#: Figure of the wall time.
SECONDS = "seconds"
#: What a picture may take in the event log, as base64.
PICTURE_BYTES = 48_000
_NAMES = 40


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """Figures of a shard, or of a run."""
    working = outcome.seconds - outcome.load_s
    rates = {"rows_per_s": round(outcome.computed / working, 2)} if outcome.computed and working > 0 else {}
    return {
        "state": outcome.state,
        "rows": outcome.rows,
        ROWS_COMPUTED: outcome.computed,
        "rows_carried": outcome.carried,
        "quarantined": outcome.quarantined,
        SECONDS: round(outcome.seconds, 3),
        "bytes_written": outcome.bytes_written,
        "digest": outcome.digest,
        **rates,
        **(outcome.model.metadata() if outcome.model else {}),
    }


def table_metadata(store: Store, table: str) -> dict[str, Any]:
    """The whole table: rows, bytes, version, columns. Reads the Delta log alone."""
    if table not in store.tables.names():
        return {}
    files = store.tables.files(table)
    return {
        "dagster/row_count": sum(file.rows for file in files),
        "table_bytes": sum(file.size_bytes for file in files),
        "table_version": store.tables.version(table),
        "dagster/column_schema": column_schema(store.tables.spec(table)),
    }


def code_metadata(names: Sequence[str], libraries: Mapping[str, str]) -> Mapping[str, dg.MetadataValue]:
    """The code and libraries that computed.

    Args:
        names: Code whose edit makes rows stale, as ``module:name``.
        libraries: Versions by name.
    """
    listed = [f"- `{name}`" for name in names[:_NAMES]]
    if len(names) > _NAMES:
        listed.append(f"- and {len(names) - _NAMES} more: `mmfs plan --why`")
    return {"reached_code": dg.MetadataValue.md("\n".join(listed)), "libraries": dg.MetadataValue.json(dict(libraries))}


def picture(jpeg: bytes | None, caption: str) -> Mapping[str, dg.MetadataValue]:
    """A picture in the event log; nothing where there is none or it would be too large.

    Args:
        caption: What it shows. Must not come from media: Markdown would be interpreted.
    """
    encoded = base64.b64encode(jpeg or b"").decode()
    if not encoded or len(encoded) > PICTURE_BYTES:
        return {}
    return {"preview": dg.MetadataValue.md(f"![{caption}](data:image/jpeg;base64,{encoded})")}
