"""What a materialization tells people: rows, rates, bytes, the table's columns."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mmfs.store import Store
from mmfs_assets.outcome import Outcome
from mmfs_assets.table_schema import column_schema

#: What a picture may take in the event log, as base64.
PICTURE_BYTES = 48_000


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """Figures of a shard, or of a run."""
    working = outcome.seconds - outcome.load_s
    rates = {"rows_per_s": round(outcome.computed / working, 2)} if outcome.computed and working > 0 else {}
    return {
        "state": outcome.state,
        "rows": outcome.rows,
        "rows_computed": outcome.computed,
        "rows_carried": outcome.carried,
        "quarantined": outcome.quarantined,
        "seconds": round(outcome.seconds, 3),
        "bytes_written": outcome.bytes_written,
        "digest": outcome.digest,
        **rates,
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


def picture(jpeg: bytes | None, caption: str) -> Mapping[str, dg.MetadataValue]:
    """A picture in the event log; nothing where there is none or it would be too large.

    Args:
        caption: What it shows. Must not come from media: Markdown would be interpreted.
    """
    encoded = base64.b64encode(jpeg or b"").decode()
    if not encoded or len(encoded) > PICTURE_BYTES:
        return {}
    return {"preview": dg.MetadataValue.md(f"![{caption}](data:image/jpeg;base64,{encoded})")}
