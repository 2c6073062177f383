"""Listed entries as rows of ``listings``, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from mmfs.ingest.listed import Caption, Listed
from mmfs.schemas import BASE_TABLES

_SCHEMA = pa.schema([column.field() for column in BASE_TABLES["listings"].columns])


def listing_row(listed: Listed, *, added_by: str, listed_at_us: int) -> dict[str, Any]:
    """One row."""
    return {
        "uri": listed.uri,
        "size_bytes": listed.size_bytes,
        "etag": listed.etag,
        "mtime_us": listed.mtime_us,
        "captions": json.dumps([_members(caption) for caption in listed.captions]) if listed.captions else None,
        "licence": listed.licence,
        "creator": listed.creator,
        "attributes": json.dumps(listed.attributes, sort_keys=True) if listed.attributes else None,
        "added_by": added_by,
        "refused": listed.refused,
        "listed_at_us": listed_at_us,
    }


def listing_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as Arrow, in the columns of ``listings``."""
    return pa.Table.from_pylist(list(rows), schema=_SCHEMA)


def read_listed(row: Mapping[str, Any]) -> Listed:
    """The entry that a row holds."""
    return Listed(
        row["uri"],
        size_bytes=row["size_bytes"],
        etag=row["etag"],
        mtime_us=row["mtime_us"],
        captions=read_captions(row["captions"]),
        licence=row["licence"],
        creator=row["creator"],
        attributes=json.loads(row["attributes"]) if row["attributes"] else {},
        refused=row["refused"],
    )


def read_captions(cell: str | None) -> tuple[Caption, ...]:
    """The captions in a cell of ``listings.captions``."""
    return tuple(Caption(**members) for members in json.loads(cell)) if cell else ()


def _members(caption: Caption) -> dict[str, str | None]:
    return {"text": caption.text, "source": caption.source, "language": caption.language}
