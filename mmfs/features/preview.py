"""A contact sheet of a table with pictures or depth maps, so that people see what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.codecs import decode_depth16, decode_jpeg
from mmfs.media.contact_sheet import contact_sheet, depth_colours

if TYPE_CHECKING:
    from mmfs.store import Store


def contact_sheet_of(store: Store, table: str, shards: Sequence[str], *, pictures: int = 12) -> bytes | None:
    """A small JPEG of some blobs of these shards, evenly drawn; None where there are no rows.

    Args:
        table: A table with a blob column: ``frames``, ``depth_maps``, ...
        pictures: At most this many.
    """
    spec = store.tables.spec(table)
    counts = store.tables.shards(table)
    filled = [shard for shard in shards if counts.get(shard)][:pictures]
    if not filled:
        return None
    columns = ["pack", "offset", "length", "crc32"]
    chosen = []
    for shard in filled:
        rows = store.tables.read(table, columns=columns, shard=shard)
        wanted = min(rows.num_rows, -(-pictures // len(filled)))
        chosen.append(rows.take(pa.array(np.linspace(0, rows.num_rows - 1, wanted).astype(np.int64))))
    blobs = store.blobs(table, pa.concat_tables(chosen).slice(0, pictures))
    if spec.codec == "depth16":
        return contact_sheet([depth_colours(decode_depth16(blob)) for blob in blobs])
    return contact_sheet([decode_jpeg(blob) for blob in blobs])
