"""What a materialization tells people: rows, rates, what the rows are like, bytes."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mmfs.errors import MmfsError
from mmfs.features.figures import shard_figures
from mmfs.features.preview import contact_sheet_of
from mmfs.store import Store
from mmfs_assets.assets.table_schema import column_schema
from mmfs_assets.steps.outcome import Outcome

#: Figures of how many rows were made by a run, and taken over from one that did not end.
ROWS_COMPUTED, ROWS_ADOPTED = "rows_computed", "rows_adopted"
#: Figure of the wall time.
SECONDS = "seconds"
#: A picture of what a shard holds.
PREVIEW = "preview"


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """Figures of a shard, or of a run."""
    working = outcome.seconds - outcome.load_s
    rates: dict[str, float] = {}
    if outcome.computed and working > 0:
        rates = {"rows_per_s": round(outcome.computed / working, 2)}
        rates["bytes_written_per_s"] = round(outcome.bytes_written / working)
    return {
        "state": outcome.state,
        "rows": outcome.rows,
        ROWS_COMPUTED: outcome.computed,
        "rows_carried": outcome.carried,
        "quarantined": outcome.quarantined,
        SECONDS: round(outcome.seconds, 3),
        **rates,
        "bytes_written": outcome.bytes_written,
        **(outcome.model.metadata() if outcome.model else {}),
        "digest": outcome.digest,
    }


def table_metadata(store: Store, table: str) -> dict[str, Any]:
    """The whole table: rows, bytes, version, columns. Reads the Delta log alone."""
    if table not in store.tables:
        return {}
    files = store.tables.files(table)
    return {
        "dagster/row_count": sum(file.rows for file in files),
        "table_bytes": sum(file.size_bytes for file in files),
        "table_version": store.tables.version(table),
        "dagster/column_schema": column_schema(store.tables.spec(table)),
    }


def rows_metadata(store: Store, table: str, shard: str) -> dict[str, Any]:
    """What the rows of a shard are like: figures that the UI draws over shards, and a contact sheet of blobs.

    What cannot be read is said here and does not fail the run: its rows are committed, and checks find them.
    """
    try:
        sheet = contact_sheet_of(store, table, shard) if _has_blobs(store, table) else None
        return {**shard_figures(store, table, shard), **_picture(sheet, f"{table} of shard {shard}")}
    except MmfsError as error:
        return {PREVIEW: str(error)}


def _has_blobs(store: Store, table: str) -> bool:
    return table in store.tables and store.tables.spec(table).blob is not None


def _picture(jpeg: bytes | None, caption: str) -> Mapping[str, dg.MetadataValue]:
    """A picture in the event log. The caption must not come from media: Markdown would be interpreted."""
    encoded = base64.b64encode(jpeg or b"").decode()
    return {PREVIEW: dg.MetadataValue.md(f"![{caption}](data:image/jpeg;base64,{encoded})")} if encoded else {}
